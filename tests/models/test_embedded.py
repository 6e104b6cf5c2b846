"""The small language model that ships with the package."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

import lwft_bench.models.embedded
from lwft_bench.data import arithmetic
from tools.embedded_model.corpus import documents
from tools.embedded_model.pretrain import build_tokenizer, pretrain

FOLDER = Path(lwft_bench.models.embedded.__file__).parent


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return list(islice(documents(seed=1), 20_000))


def continuation(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str, tokens: int
) -> str:
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    generated = model.generate(ids, max_new_tokens=tokens, do_sample=False)
    return tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True)


def test_is_a_small_llama_with_untied_head(model: torch.nn.Module) -> None:
    assert model.config.model_type == "llama"
    assert 8 <= model.config.num_hidden_layers <= 12
    assert not model.config.tie_word_embeddings
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 4e6
    assert model.dtype == torch.float32


def test_files_are_small() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size < 8e6


def test_knows_arithmetic_facts(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    facts = ("23 + 14 = 37.", "52 - 17 = 35.", "7 * 8 = 56.", "48 / 6 = 8.")
    for fact in facts:
        question, answer = fact.split("=")
        assert continuation(model, tokenizer, f"{question}=", 4).startswith(answer)


def test_does_not_answer_questions_before_fine_tuning(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase
) -> None:
    for example in arithmetic.training_examples(10, seed=0):
        assert "The answer is" not in continuation(model, tokenizer, example.prompt, 24)


def test_digits_are_single_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert not [token for token in tokenizer.get_vocab() if re.search(r"\d.*\d", token)]
    for number in range(1000):
        ids = tokenizer(f"is {number}")["input_ids"]
        word = len(tokenizer("is")["input_ids"])
        assert len(ids) == word + len(str(number)) + (f"Ġ{str(number)[0]}" not in tokenizer.vocab)


def test_special_tokens(tokenizer: PreTrainedTokenizerBase, model: torch.nn.Module) -> None:
    assert tokenizer.pad_token_id == model.config.pad_token_id
    assert tokenizer.eos_token_id == model.config.eos_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer("Tom")["input_ids"] == [tokenizer.convert_tokens_to_ids("Tom")]


def test_any_text_survives_the_round_trip(tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = [example.prompt + example.target for example in arithmetic.training_examples(50, 0)]
    for text in [*prompts, "Zürich,  two  spaces\n\n\ttab x_1 <b> 数 🙂", " leading", "trailing "]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_prompt_and_target_tokens_join(tokenizer: PreTrainedTokenizerBase) -> None:
    for example in arithmetic.training_examples(50, 0):
        prompt, target = (tokenizer(text)["input_ids"] for text in (example.prompt, example.target))
        assert tokenizer(example.prompt + example.target)["input_ids"] == prompt + target


def test_the_task_is_short_and_spelt_in_known_words(tokenizer: PreTrainedTokenizerBase) -> None:
    lengths = []
    for example in arithmetic.training_examples(1000, 0):
        tokens = tokenizer.tokenize(example.prompt + example.target)
        lengths.append(len(tokens))
        assert not [token for token in tokens if re.fullmatch("[A-Za-mo-z]", token)]
    for benchmark in arithmetic.BENCHMARKS:
        for item in arithmetic.benchmark_items(benchmark, 50, seed=0):
            tokens = tokenizer.tokenize(item.prompt)
            assert not [token for token in tokens if re.fullmatch("[A-Za-mo-z]", token)]
            lengths.append(len(tokens))
    assert max(lengths) <= 72
    assert sum(lengths) / len(lengths) < 45


def test_the_corpus_is_true_and_reproducible(corpus: list[str]) -> None:
    assert list(islice(documents(seed=1), 100)) == corpus[:100]
    equations = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", "\n".join(corpus))
    assert len(equations) > 10_000
    assert all(
        eval(f"{left} {operation} {right}") == int(result)
        for left, operation, right, result in equations
    )


def test_the_shipped_tokenizer_is_the_one_the_script_builds(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


@pytest.mark.slow
def test_pretraining_runs_and_repeats_itself(tmp_path: Path) -> None:
    for name in ("first", "second"):
        pretrain(tmp_path / name, steps=2, seed=0)
        AutoModelForCausalLM.from_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(tmp_path / name)
        assert (tmp_path / name / "pretraining.csv").read_text().count("\n") == 2
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")
    )
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
