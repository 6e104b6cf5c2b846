"""Folders that are no models to train are told apart before their weights are looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lwft_bench.models import sources
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.models.sources import config_folder, model_folder
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError


def folder_of(folder: Path, **files: Any) -> ModelConfig:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return ModelConfig(name="m", path=str(folder))


def test_an_adapter_alone_names_its_model(tmp_path: Path) -> None:
    config = folder_of(tmp_path, adapter_config={"base_model_name_or_path": "org/base"})
    with pytest.raises(UserError, match="holds an adapter without the model") as error:
        model_folder(config)
    assert "path: org/base" in (error.value.hint or "")


def test_an_adapter_beside_a_model_is_refused(tmp_path: Path) -> None:
    config = folder_of(tmp_path, adapter_config={}, config={"model_type": "llama"})
    with pytest.raises(UserError, match="beside a model"):
        config_folder(config)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantised by gptq with 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "by bitsandbytes with 4 bits"),
        ({"quant_method": "compressed-tensors"}, "by compressed-tensors;"),
    ],
)
def test_quantised_weights_are_refused(settings: dict[str, Any], text: str, tmp_path: Path) -> None:
    config = folder_of(tmp_path, config={"quantization_config": settings})
    with pytest.raises(UserError, match=text) as error:
        config_folder(config)
    assert "adapter: qlora" in (error.value.hint or "")


def test_a_plain_folder_passes(tmp_path: Path) -> None:
    assert config_folder(folder_of(tmp_path, config={"model_type": "llama"})) == tmp_path


def test_mistrals_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Mistral's tekken\.json"):
        sources.tokenizer_folder(folder_of(tmp_path, config={}, tekken={}))


@pytest.mark.parametrize(("vocab_size", "fits"), [(6, True), (5, True), (1, False)])
def test_tokens_without_embedding_are_fine_unless_they_end_texts(
    vocab_size: int, fits: bool, tokenizer_folder: Path
) -> None:
    """The tokenizer has six tokens and ends texts with its second."""
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = ModelConfig(
        name="m",
        config={"model_type": "llama", "vocab_size": vocab_size, **shape},
        tokenizer=str(tokenizer_folder),
    )
    if fits:
        assert len(load_tokenizer(config)) == 6
    else:
        with pytest.raises(UserError, match="6 tokens and the model only 1 embeddings"):
            load_tokenizer(config)


@pytest.mark.parametrize(
    ("shard", "told"),
    [
        (
            "../elsewhere/a.safetensors",
            "names a file outside its folder: ../elsewhere/a.safetensors",
        ),
        ("/etc/a.safetensors", "names a file outside its folder: /etc/a.safetensors"),
        ("below/a.safetensors", "names a file outside its folder: below/a.safetensors"),
        ("..", "names a file that is no *.safetensors: .."),
        ("weights.data", "names a file that is no *.safetensors: weights.data"),
    ],
)
def test_an_index_names_only_files_that_the_digest_knows(
    tmp_path: Path, shard: str, told: str
) -> None:
    config = folder_of(tmp_path, config={"model_type": "llama"})
    (tmp_path / "a.safetensors").write_bytes(b"")
    index = {"weight_map": {"one": "a.safetensors", "two": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError) as raised:
        model_folder(config)
    assert told in raised.value.message


def test_an_adapter_put_beside_a_model_later_changes_the_digest_and_is_refused(
    tmp_path: Path,
) -> None:
    """transformers would load it without a word."""
    config = folder_of(tmp_path, config={"model_type": "llama"})
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = sources.model_digest(config)
    folder_of(tmp_path, adapter_config={"base_model_name_or_path": "org/base"})
    assert sources.model_digest(config) != before
    with pytest.raises(UserError, match="holds an adapter .* beside a model"):
        model_folder(config)


@pytest.mark.parametrize(
    "name", ["model-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"]
)
def test_every_file_that_is_loaded_is_in_the_digest(tmp_path: Path, name: str) -> None:
    config = folder_of(tmp_path, config={"model_type": "llama"})
    for shard in ("model-00001.safetensors", "model-00002.safetensors"):
        (tmp_path / shard).write_bytes(b"weights")
    index = {"weight_map": {"one": "model-00001.safetensors", "two": "model-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "tokenizer.json").write_text("{}")
    before = sources.model_digest(config)
    with (tmp_path / name).open("a") as file:
        file.write(" ")
    assert sources.model_digest(config) != before
