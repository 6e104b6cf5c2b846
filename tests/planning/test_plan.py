"""Plans against real runs whose storages are counted one by one, and what a plan says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from lwft_bench.dry_run import steps
from lwft_bench.dry_run.planned_selections import planned_selections
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.models.loading import empty_model
from lwft_bench.planning.plan import Planner, needed
from lwft_bench.planning.verification import measured_peak
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.strategies.base import Unit
from lwft_bench.suites.architectures import read_architecture
from tests.training.small_cards import small_cards

CPU = torch.device("cpu")
CARDS = small_cards()
METHODS = ("fft", "lora", "dora", "lisa", "lisa-drop", "grass", "hift", "rgn", "galore")
SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": SHAPE | {"model_type": "llama"},
    "gemma": SHAPE | {"model_type": "gemma", "head_dim": 16, "pad_token_id": 0},
}
FULL = (BatchShape(4, 24, 4 * 23),)
PADDED = (BatchShape(2, 24, 17), BatchShape(2, 16, 9))
"""Few targets, and micro-batches of two lengths."""


def small_cell(method: MethodConfig, model: dict[str, Any], **training: Any) -> Cell:
    options = {"batch_size": 4, "precision": "bf16", "bucket_bytes": 4096} | training
    return Cell(
        id=f"small--{method.name}--x--seed0",
        model=ModelConfig(name="small", config=model),
        method=method,
        task=TaskConfig(name="x", data="generated-arithmetic", train_examples=1, benchmarks=()),
        training=TrainingConfig(steps=20, **options),
        evaluation=EvaluationConfig(),
        seed=0,
    )


def planned_and_accounted(cell: Cell, shapes: tuple[BatchShape, ...]) -> tuple[int, int]:
    drawn = Planner(num_samples=1).draws(cell)
    planned = needed(cell, shapes, drawn, 0).peak_bytes
    return planned, measured_peak(cell, shapes, drawn, CPU).allocated


@pytest.mark.parametrize(
    ("shapes", "checkpointing"),
    [
        pytest.param(FULL, False, id="full"),
        pytest.param(PADDED, True, id="padded-checkpointing"),
        pytest.param(FULL, True, id="full-checkpointing", marks=pytest.mark.slow),
        pytest.param(PADDED, False, id="padded", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", METHODS)
def test_planned_is_what_a_real_run_has_to_the_byte(
    method: str, architecture: str, shapes: tuple[BatchShape, ...], checkpointing: bool
) -> None:
    cell = small_cell(CARDS[method], ARCHITECTURES[architecture], checkpointing=checkpointing)
    planned, accounted = planned_and_accounted(cell, shapes)
    assert planned == accounted


def test_a_tensor_that_stays_in_the_step_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = small_cell(CARDS["lisa"], ARCHITECTURES["llama"])
    drawn = Planner().draws(cell)
    planned = needed(cell, FULL, drawn, 0).peak_bytes
    kept, run_step = [], steps.CellSteps.run_step

    def leaking(self: Any, *, update: bool = True) -> int:
        if not kept:
            kept.append(torch.zeros(2**20, dtype=torch.uint8))
        return run_step(self, update=update)

    monkeypatch.setattr(steps.CellSteps, "run_step", leaking)
    assert measured_peak(cell, FULL, drawn, CPU).allocated == planned + 2**20


def test_left_out_micro_batches_change_nothing() -> None:
    """Of many alike three are run; all are there."""
    cell = small_cell(CARDS["lisa"], ARCHITECTURES["llama"])
    shapes = (BatchShape(1, 24, 23),) * 6
    planned, accounted = planned_and_accounted(cell, shapes)
    assert planned == accounted


def test_torchs_profiler_saw_the_same_peak() -> None:
    """A witness that knows nothing of the account: allocations and frees as the allocator has them.

    It sees what kernels take within themselves too, which the account does not.
    """
    cell = small_cell(CARDS["fft"], ARCHITECTURES["llama"], precision="float32")
    drawn = Planner().draws(cell)
    measured_peak(cell, FULL, drawn, CPU)  # first uses allocate tables of their own
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        accounted = measured_peak(cell, FULL, drawn, CPU).allocated
    events = profiled.profiler.kineto_results.events()
    sizes = [e.nbytes() for e in events if e.name() == "[memory]"]
    live = peak = 0
    for nbytes in sizes:
        live += nbytes
        peak = max(peak, live)
    print(f"accounted {accounted:,} B, profiler {peak:,} B")
    assert peak == pytest.approx(accounted, rel=0.1)


@pytest.mark.parametrize("name", shipped("architectures"))
def test_architectures_have_the_published_size(name: str) -> None:
    card = read_architecture(name)
    model = empty_model(card.model, torch.bfloat16, "sdpa")
    assert card.name == name
    assert sum(parameter.numel() for parameter in model.parameters()) == card.parameters


def test_cells_that_differ_by_seed_are_planned_once() -> None:
    planner = Planner()
    cell = small_cell(CARDS["lisa"], ARCHITECTURES["llama"])
    other = cell.model_copy(update={"seed": 1, "id": "other"})
    assert planner.plan(cell).needed is planner.plan(other).needed
    longer = cell.training.model_copy(update={"max_length": 512})
    changed = planner.plan(cell.model_copy(update={"training": longer}))
    assert changed.needed is not planner.plan(cell).needed


def units(number: int) -> list[Unit]:
    return [Unit(index, "layer", index, 100) for index in range(number)]


def test_the_dearest_selection_is_run_whether_drawn_or_not() -> None:
    drawn = planned_selections(CARDS["lisa"], units(8), 20, 2)
    assert drawn.selections[0] == (0, 7)
    assert drawn.selections[1] == (6, 7)
    assert planned_selections(CARDS["lisa"], units(8), 20, 0).selections == ((0, 7),)


def test_selections_that_are_always_the_same_are_taken_as_they_are() -> None:
    assert planned_selections(CARDS["fft"], units(8), 20, 2).selections == (tuple(range(8)),)
    badam = planned_selections(CARDS["badam"], units(4), 20, 2)
    assert all(len(chosen) == 1 for chosen in badam.selections)
    assert badam.selections[0] == (0,)


def test_few_steps_visit_few_units() -> None:
    """Period 2, two at a time."""
    assert len(planned_selections(CARDS["lisa"], units(40), 6, 0).visited) == 6


def test_state_of_all_visited_units_is_there() -> None:
    """LISA as published keeps it on the device."""
    cell = small_cell(CARDS["lisa"], ARCHITECTURES["llama"])
    found = Planner().plan(cell).needed
    reset = (
        Planner()
        .plan(
            cell.model_copy(
                update={"method": cell.method.model_copy(update={"state_policy": "reset"})}
            )
        )
        .needed
    )
    assert found is not None and reset is not None
    state = "optimizer_state"
    # Buckets end at multiples of 64 elements, so that a little more is there.
    assert found.component_peaks[state] == pytest.approx(4 * found.trained_parameters, rel=0.02)
    active = reset.active_parameters.maximum
    assert reset.component_peaks[state] == pytest.approx(4 * active, rel=0.02)


def test_offloaded_state_moves_both_ways() -> None:
    found = Planner().plan(small_cell(CARDS["grass"], ARCHITECTURES["llama"])).needed
    assert found is not None
    active = found.active_parameters.maximum
    assert found.moved_bytes.maximum == pytest.approx(2 * 4 * active, rel=0.02)
    assert found.host_bytes_allocated > found.host_bytes > 0


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_config_that_lacks_a_field(field: str) -> None:
    model = {key: value for key, value in ARCHITECTURES["llama"].items() if key != field}
    with pytest.raises(UserError, match=f"lacks {field}"):
        Planner().plan(small_cell(CARDS["fft"], model))


def test_an_unknown_model_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cell = small_cell(CARDS["fft"], ARCHITECTURES["llama"])
    missing = ModelConfig(name="none", path="nobody/has-this-model")
    with pytest.raises(UserError, match="nobody/has-this-model"):
        Planner().plan(cell.model_copy(update={"model": missing}))
