"""Kernels that are not everywhere: refused before training, recorded, and in no identity by default."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lwft_bench.models.loading import empty_model
from lwft_bench.planning.plan import Planner
from lwft_bench.preflight.cells import check_cells
from lwft_bench.schema.cell import Cell, ModelConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.problems import ConfigError
from lwft_bench.suites.identity import identify
from lwft_bench.suites.loading import Changes, load_suite
from lwft_bench.training import kernels
from lwft_bench.training.kernels import require_kernels
from lwft_bench.training.ranks import Ranks
from tests.training.tiny import LLAMA

MISSING = {
    "attention": (
        {"attention": "flash_attention_2", "precision": "bf16"},
        "needs the package flash_attn, which is not installed",
        r"lwft-bench\[flash\]",
    ),
    "kernels": (
        {"kernels": "liger"},
        "needs the package liger_kernel, which is not installed",
        r"lwft-bench\[liger\]",
    ),
}


def smoke_cell(method: str = "fft", **settings: Any) -> Cell:
    changes = Changes(
        settings=tuple(f"training.{key}={value}" for key, value in settings.items()),
        methods=(method,),
    )
    (cell,) = load_suite("smoke", changes).cells
    return cell


@pytest.mark.parametrize("key", MISSING)
def test_a_missing_package_is_told_with_its_extra(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, why, hint = MISSING[key]
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    (text,) = (findings := check_cells([smoke_cell(**settings)])).problems
    assert text.startswith("model embedded, method fft: training.")
    assert f"training.{key}" in text and why in text
    with pytest.raises(UserError) as raised:
        findings.raise_problems()
    assert raised.value.hint and hint.replace("\\", "") in raised.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {"attention": "flash_attention_2", "precision": "bf16"},
        {"attention": "flex_attention"},
        {"kernels": "liger"},
    ],
    ids=lambda settings: str(next(iter(settings.values()))),
)
def test_a_device_without_them_is_told(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "find_spec", lambda name: SimpleNamespace())
    with pytest.raises(UserError, match="needs a CUDA device, and the cell's is cpu"):
        require_kernels(TrainingConfig(steps=1, device="cpu", **settings))


def test_what_compiling_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def none_found() -> str:
        raise exc.InvalidCxxCompiler

    config = TrainingConfig(steps=1, device="cpu", compile=True)
    with pytest.raises(UserError, match="over several processes"):
        require_kernels(config, Ranks(0, 2))
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none_found)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler, and none was found"):
        require_kernels(config)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="flash_attention_2 is for half precision"):
        TrainingConfig(steps=1, attention="flash_attention_2")
    with pytest.raises(ValueError, match="needs attention: sdpa"):
        TrainingConfig(steps=1, attention="flex_attention", batching="packed")


@pytest.mark.parametrize("method", ["misa", "blockllm", "chunkft"])
def test_parts_of_layers_are_not_compiled(method: str) -> None:
    changes = Changes(methods=(method,), settings=("training.compile=true",))
    with pytest.raises(ConfigError, match="these units train parts of layers"):
        load_suite("all-methods", changes)


def test_settings_at_their_defaults_are_in_no_identity() -> None:
    plain = smoke_cell()
    assert {"compile", "kernels"}.isdisjoint(plain.training.as_recorded())
    assert identify(smoke_cell(compile="false", kernels="torch")) == identify(plain)
    for settings in ({"compile": "true"}, {"kernels": "liger"}):
        other = smoke_cell(**settings)
        assert settings.keys() <= other.training.as_recorded().keys()
        assert identify(other).digest != identify(plain).digest


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"compile": "true"}, "compiled layers"), ({"kernels": "liger"}, "liger's")],
    ids=["compiled", "liger"],
)
def test_what_cannot_be_planned_says_so(settings: dict[str, Any], why: str) -> None:
    plan = Planner(num_samples=1).plan(smoke_cell(**settings))
    assert plan.needed is None
    assert plan.problem is not None and why in plan.problem


def test_flash_attention_is_planned_as_sdpa() -> None:
    config = ModelConfig(name="tiny", config=LLAMA)
    for attention in ("flash_attention_2", "flex_attention"):
        model = empty_model(config, torch.bfloat16, attention)
        assert model.config._attn_implementation == "sdpa"
    planner = Planner(num_samples=1)
    flash, sdpa = (
        planner.plan(smoke_cell(precision="bf16", attention=attention)).needed
        for attention in ("flash_attention_2", "sdpa")
    )
    assert flash is not None and sdpa is not None
    assert flash.peak_bytes == sdpa.peak_bytes
