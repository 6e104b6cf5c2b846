"""Every stage of the device check, rehearsed on the CPU with tiny shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from benchmarks.device import engine, memory, other_optimizers, ragged, streaming, throughput
from benchmarks.device.processes import PATIENCE
from benchmarks.device.setting import Row, Setting
from benchmarks.device.stages import STAGES
from lwft_bench.selftest import checks as checks_module
from lwft_bench.training import packed_attention

ROOT = Path(__file__).parents[2]


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Setting("cpu", True, time.monotonic() + 600, tmp_path)


def sound(rows: Iterator[Row]) -> dict[str, list[Row]]:
    """By table, if no row failed."""
    tables: dict[str, list[Row]] = {}
    for row in rows:
        assert "failed" not in row and row.get("passed") is not False, row
        tables.setdefault(row["table"], []).append(row)
    return tables


def test_stages_are_there() -> None:
    for stage in STAGES:
        module, _, function = stage.run.partition(":")
        assert callable(getattr(import_module(module), function))


def test_the_selftest_leaves_a_verdict(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_module, "PRECISIONS", {"bf16": None})
    monkeypatch.setattr(checks_module, "STEPS_WITHOUT_QUEUES", 4)
    tables = sound(engine.run(setting))
    assert [row["what"] for row in tables["checks"]] == ["placement-bf16", "planned-memory"]
    (verdict,) = tables["verdict that results on this device cite"]
    assert verdict["what"].startswith("self-test passed on 20")


def test_memory_is_as_planned_in_every_phase(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = memory.kinds(setting, 4)
    few = [chosen[0], chosen[6]]
    monkeypatch.setattr(memory, "kinds", lambda setting, layers: few)
    tables = sound(memory.run(setting))
    names = [row["what"] for row in tables["planned and measured"]]
    assert names == ["grass 1 x 16", "grass 1 x 16, highest layers"]
    phases = {row["phase"] for row in tables["by phase"] if row["what"] == "grass 1 x 16"}
    assert {"probe", "switch", "forward", "backward", "update"} <= phases
    for row in [*tables["planned and measured"], *tables["by phase"]]:
        assert row["difference_share"] == 0
    (allowance,) = (rows for table, rows in tables.items() if table.startswith("allowance"))
    assert [row["what"] for row in allowance] == [
        "CONTEXT_BYTES",
        "WORKSPACE_BYTES",
        "FRAGMENTED_SHARE",
    ]


def test_a_plan_that_is_wrong_is_seen(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = memory.kinds(setting, 4)[6]
    plan = memory.planned(kind, True)
    other = memory.planned(memory.kinds(setting, 4)[5], True)
    wrong = memory.Planned(plan.shapes, plan.drawn, other.needed)
    row = memory._row(setting, kind, lambda: wrong, None)
    assert row["passed"] is False and row["difference_share"] < 0


def test_every_kind_of_run_is_measured() -> None:
    real = Setting("cuda", False, time.monotonic() + 600, Path())
    names = [kind.name for kind in memory.kinds(real, 32)]
    assert len(names) == len(set(names)) == 20
    assert {"grass 1 x 1792", "lora-r128 1 x 1792", "dora 4 x 1024"} <= set(names)
    assert set(memory.PUBLISHED_GB) <= set(names)


def test_streamed_state_is_timed_beside_its_model(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MODES", ("in_backward",))
    tables = sound(streaming.run(setting))
    assert all(row["bytes_per_second"] > 0 for row in tables["copies through the engine"])
    (bits,) = tables["streamed against resident state, bit for bit"]
    assert bits["tensors_that_differ"] == 0
    steps = {row["what"]: row for row in tables["a step of tiny, 2 x 16, update in_backward"]}
    assert list(steps) == ["resident", "half resident", "streamed"]
    assert 0 < steps["half resident"]["moved_bytes"] < steps["streamed"]["moved_bytes"]
    assert steps["streamed"]["modelled_seconds"] > 0 and steps["streamed"]["ratio"] > 0


def test_methods_are_timed_by_turns(setting: Setting) -> None:
    size = replace(throughput.TINY, methods=("lora", "badam"))
    ((_, rows),) = sound(throughput._methods(setting, size)).items()
    assert [row["what"] for row in rows] == ["lora", "badam"]
    assert rows[1]["ratio"] > 0 and rows[1]["tokens_per_second"] > 0
    ((_, rows),) = sound(throughput._methods(setting, throughput.apart(size))).items()
    assert [row["what"] for row in rows] == ["fft"]


def test_what_does_not_fit_costs_its_row(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(throughput, "_made", too_large)
    for size in (throughput.TINY, throughput.apart(throughput.TINY)):
        (row,) = throughput._methods(setting, size)
        assert row["failed"] == "OutOfMemoryError: CUDA out of memory"


def test_ragged_batches_are_timed_in_every_way(setting: Setting) -> None:
    ((_, rows),) = sound(ragged.ragged(setting, "tiny")).items()
    assert [row["what"] for row in rows] == list(ragged.BATCHINGS)
    assert "is for CUDA devices" in rows[-1]["skipped"]
    for row in rows[1:-1]:
        assert row["ratio"] > 0 and row["loss_difference"] < 0.02  # bf16


def test_one_kernel_for_all_sequences_is_called_as_torch_has_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its place stands what its documentation says of it; the losses are those of padded rows."""

    varlen = pytest.importorskip("torch.nn.attention.varlen")

    def varlen_attn(query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> torch.Tensor:
        ends, same, longest, also = rest
        assert torch.equal(ends, same) and ends.dtype == torch.int32 and longest == also
        assert options["window_size"] == (-1, 0) and not options["enable_gqa"]
        lengths = ends.diff().tolist()
        assert max(lengths) == longest
        parts = [tensor.split(lengths) for tensor in (query, key, value)]
        found = [
            scaled_dot_product_attention(
                *(part.transpose(0, 1)[None] for part in each),
                is_causal=True,
                scale=options["scale"],
            )[0].transpose(0, 1)
            for each in zip(*parts, strict=True)
        ]
        return torch.cat(found)

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    _, plain = ragged._made(setting, "tiny", ragged.TINY, ragged.PLAIN)
    with ragged._varlen():
        _, packed = ragged._made(setting, "tiny", ragged.TINY, ragged.VARLEN)
    assert packed["loss"] == pytest.approx(plain["loss"], abs=0.02)
    assert AttentionInterface()[packed_attention.NAME] is packed_attention.attend


@pytest.mark.slow
def test_kernels_that_are_not_here_are_named(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, rows),) = sound(throughput._kernels(setting, throughput.TINY)).items()
    assert "the package flash_attn is not installed" in rows[3]["skipped"]
    assert "skipped" not in rows[0]


def test_other_optimizers_are_stepped(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_optimizers, "STEPS", 2)
    ((_, rows),) = sound(other_optimizers.run(setting)).items()
    assert [row["what"] for row in rows] == ["fft", "adamw-8bit", "galore", "apollo"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_command_is_rehearsed(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/device/check.py", "--rehearse", "--out", str(tmp_path)]
    limit = PATIENCE * sum(stage.seconds for stage in STAGES)
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=limit
    )
    document = json.loads((tmp_path / "check.json").read_text())
    assert [(one["name"], one["status"]) for one in document["stages"]] == [
        (stage.name, "done") for stage in STAGES
    ], done.stdout
    assert done.returncode == 0, done.stdout
    assert document["rehearsal"] is True
    assert "**A rehearsal" in (tmp_path / "check.md").read_text()
    tables = {row["table"] for one in document["stages"] for row in one["rows"]}
    assert len(tables) >= 14
