"""A tokenizer that ends every text no longer ends prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lwft_bench.data.batching import tokenise
from lwft_bench.data.examples import Example
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

LLAMA = {
    "model_type": "llama",
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def saved(folder: Path, processor: processors.PostProcessor) -> ModelConfig:
    vocabulary = {
        piece: index for index, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    vocabulary |= {"<s>": 256, "</s>": 257}
    bytes_ = Tokenizer(models.BPE(vocabulary, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.add_special_tokens(["<s>", "</s>"])
    bytes_.post_processor = processor
    PreTrainedTokenizerFast(
        tokenizer_object=bytes_, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return ModelConfig(name="m", config=LLAMA, tokenizer=str(folder))


def template(single: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 256), ("</s>", 257)]
    )


@pytest.mark.parametrize("inside", [False, True])
def test_the_end_comes_once_where_an_example_ends(tmp_path: Path, inside: bool) -> None:
    ending = template("<s> $A </s>")
    if inside:
        ending = processors.Sequence([processors.ByteLevel(), ending])
    tokenizer = load_tokenizer(saved(tmp_path, ending))
    tokenised = tokenise([Example("ab", "cd")], tokenizer, 64, "target")
    assert tokenizer.convert_ids_to_tokens(tokenised.token_ids[0]) == ["<s>", *"abcd", "</s>"]
    assert tokenised.num_prompt_tokens == [3]
    plain = load_tokenizer(saved(tmp_path / "plain", template("<s> $A")))
    assert tokenise([Example("ab", "cd")], plain, 64, "target") == tokenised


def test_an_end_that_cannot_be_taken_away_is_told(tmp_path: Path) -> None:
    config = saved(tmp_path, processors.BertProcessing(("</s>", 257), ("<s>", 256)))
    with pytest.raises(UserError, match="model m: the tokenizer .* puts </s> behind every text"):
        load_tokenizer(config)


def test_other_tokenizers_are_left_as_they_are(tmp_path: Path) -> None:
    config = saved(tmp_path, template("<s> $A"))
    written = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    loaded = json.loads(load_tokenizer(config).backend_tokenizer.to_str())  # type: ignore[attr-defined]
    assert loaded["post_processor"] == written["post_processor"]
