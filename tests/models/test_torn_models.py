"""A model's JSON files that are torn are told with file and line, before a library reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lwft_bench.models.loading import empty_model, load_tokenizer, require_shape
from lwft_bench.models.sources import has_chat_template
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytes_ = Tokenizer(models.BPE(vocabulary | {"<end>": 256}, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.add_special_tokens(["<end>"])
    PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(tmp_path)
    write_config(tmp_path)
    return tmp_path


def write_config(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes, indent=1), "utf-8")


def used(folder: Path) -> None:
    model = ModelConfig(name="m", path=str(folder))
    has_chat_template(model)
    load_tokenizer(model)
    require_shape(model)
    empty_model(model, torch.float32, "sdpa")


def test_a_sound_model_is_used(folder: Path) -> None:
    used(folder)


def test_a_key_that_stands_twice_with_one_value_is_no_matter(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{"num_hidden_layers": 2,', 1))
    used(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("torn", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"a": 1,\n"b": }', "2: cannot be read: not JSON"),
        (b'{"a":\n"\xff"}', "2: cannot be read: not UTF-8 text"),
        (b'{"a": %s}' % (b"9" * 5000), "a number of thousands of digits"),
        (b'{"a": %s' % (b"[" * 100_000), "nested too deeply"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'the key "c" stands twice, with different values'),
    ],
)
def test_what_is_no_json_object_is_told_by_its_line(
    folder: Path, name: str, torn: bytes, reason: str
) -> None:
    (folder / name).write_bytes(torn)
    with pytest.raises(UserError, match=rf"{name}.*{reason}"):
        used(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": -16},
        {"hidden_size": "16"},
        {"num_attention_heads": 0},
        {"num_hidden_layers": [2]},
        {"vocab_size": None},
        {"model_type": "lama"},
        {"rope_parameters": {"rope_type": "odd"}},
        {"hidden_act": "none"},
        {"head_dim": 0.5},
    ],
)
def test_a_config_of_odd_values_is_told_with_its_file(
    folder: Path, changes: dict[str, Any]
) -> None:
    write_config(folder, **changes)
    with pytest.raises(UserError, match=rf"model m.*{folder}"):
        used(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": None},
        {"model": {"type": "odd"}},
        {"added_tokens": {"id": 1}},
        {"added_tokens": [{"id": "x"}]},
        {"post_processor": {"type": "odd"}},
    ],
)
def test_a_tokenizer_of_odd_values_is_told_with_its_file(
    folder: Path, changes: dict[str, Any]
) -> None:
    written = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(written | changes), "utf-8")
    with pytest.raises(UserError, match=rf"model m.*the tokenizer in {folder} \(tokenizer.json, "):
        used(folder)
