"""Moments in a dtype of their own, apart from the weights'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lwft_bench.dry_run.fake_cell import fake_cell
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.optimizers.adamw import AdamW
from lwft_bench.optimizers.random_bits import mix
from lwft_bench.planning.verification import measured_peak
from lwft_bench.selftest.steps import Shape
from lwft_bench.state.precision import PRECISIONS, STATE_DTYPES, precision_of, update_slice
from lwft_bench.strategies.base import Needs
from lwft_bench.training.errors import Interrupted
from tests.training.tiny import CPU, Run, assert_same, full_fine_tuning, make_run, method, training

PAIRS = [(weights, state) for weights in PRECISIONS for state in STATE_DTYPES]
UNLIKE = [
    ("float32", "bf16-stochastic"),
    ("bf16", "float32"),
    ("bf16", "bf16-stochastic"),
    ("bf16-stochastic", "bf16-stochastic"),
    ("bf16-master", "bf16"),
]
"""Those that no `precision` alone gives."""
SIZE = 256


def moments_after(
    precision: str, state_dtype: str | None, gradients: list[float]
) -> dict[str, torch.Tensor]:
    """Of SIZE alike elements, after these gradients."""
    policy = precision_of(precision, state_dtype)
    rule = AdamW(AdamW.Options())
    state = {
        f.name: torch.zeros(f.shape, dtype=f.dtype) for f in rule.fields((SIZE,), policy.state)
    }
    weight = torch.ones(SIZE, dtype=policy.weight)
    if policy.master:
        state["master"] = weight.float()
    for step, gradient in enumerate(gradients, 1):
        value = torch.full((SIZE,), gradient, dtype=policy.weight)

        def kernel(weight: Any, gradient: Any, state: Any, step: int = step) -> None:
            rule.update(weight, gradient, state, step, 1e-6)

        update_slice(policy, kernel, weight, value, state, mix(0, step, 0), 0)
    return state


@pytest.mark.parametrize("state_dtype", [None, *STATE_DTYPES])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_moments_are_kept_in_their_dtype(precision: str, state_dtype: str | None) -> None:
    dtype = PRECISIONS[precision].state if state_dtype is None else STATE_DTYPES[state_dtype][0]
    state = moments_after(precision, state_dtype, [1.0])
    assert {state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {dtype}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_second_moment_rises_and_falls_as_it_should_but_in_nearest_bf16(precision: str) -> None:
    """A hundred steps of one gradient, then none: v is 0.0952, then by 0.999 to a hundredth less."""
    rise, fall = [1.0] * 100, [0.0] * 100
    risen = 1 - 0.999**100
    fallen = risen * 0.999**100
    means = {
        name: [
            float(moments_after(precision, name, gradients)["exp_avg_sq"].float().mean())
            for gradients in (rise, rise + fall)
        ]
        for name in STATE_DTYPES
    }
    assert means["float32"] == pytest.approx([risen, fallen], rel=1e-4)
    # The mean of 256 elements, each within one distance between neighbours, after 200 roundings.
    assert means["bf16-stochastic"] == pytest.approx([risen, fallen], rel=0.02)
    assert means["bf16"][1] == means["bf16"][0], "no element ever falls"


def test_the_first_moment_is_right_in_the_mean_too() -> None:
    """Both moments, each by bits of its own."""
    state = moments_after("bf16", "bf16-stochastic", [1.0] * 3)
    assert float(state["exp_avg"].float().mean()) == pytest.approx(1 - 0.9**3, rel=2e-3)
    assert len(state["exp_avg"].unique()) > 1
    assert len(state["exp_avg_sq"].unique()) > 1
    up = [state[name].float() > state[name].float().mean() for name in ("exp_avg", "exp_avg_sq")]
    assert 0 < int((up[0] ^ up[1]).sum()) < SIZE


def trained(folder: Path, on_device: Any, stop_at: int | None = None, **settings: Any) -> Run:
    card = method(
        "lisa",
        strategy_num_active=2,
        strategy_period=2,
        always_train=("embed", "final_norm", "head"),
        state_on_device=on_device,
    )
    config = training(8, **({"bucket_bytes": 1024} | settings))
    run = make_run(folder, card, config, stop_when=lambda step: step == stop_at)
    run.trainer.run()
    return run


@pytest.mark.parametrize(("precision", "state_dtype"), UNLIKE)
def test_where_state_lives_changes_no_number(
    tmp_path: Path, precision: str, state_dtype: str
) -> None:
    settings = {"precision": precision, "state_dtype": state_dtype}
    resident = trained(tmp_path / "a", "all", **settings)
    for on_device, update in (("none", "in_backward"), (20_000, "after_backward")):
        run = trained(tmp_path / str(on_device), on_device, update=update, **settings)
        assert_same(run.weights(), resident.weights())
        assert run.assembly.store.host_bytes > 0


def test_the_size_of_buckets_changes_nothing(tmp_path: Path) -> None:
    settings = {"precision": "bf16", "state_dtype": "bf16-stochastic"}
    small = trained(tmp_path / "a", "none", **settings)
    large = trained(tmp_path / "b", "none", bucket_bytes=2**20, **settings)
    assert_same(small.weights(), large.weights())


@pytest.mark.parametrize(("precision", "state_dtype"), UNLIKE)
@pytest.mark.parametrize("on_device", ["all", "none"])
def test_planned_to_the_byte(precision: str, state_dtype: str, on_device: Any) -> None:
    """The plan's peak against the same steps on real tensors, counted storage by storage."""
    shape = Shape()
    cell = shape.cell(on_device, precision=precision, update="in_backward")
    training = cell.training.model_copy(update={"state_dtype": state_dtype})
    cell = cell.model_copy(update={"training": training})
    batch = BatchShape(shape.rows, shape.length, shape.rows * (shape.length - 1))
    pairs = tuple((unit, unit + 1) for unit in range(shape.layers - 1))
    drawn = PlannedSelections(
        pairs, typical=pairs, visited=tuple(range(shape.layers)), needs=Needs()
    )
    with fake_cell(cell, [batch]) as fake:
        fake.follow(drawn)
        planned = fake.account.report().peak_bytes
    assert measured_peak(cell, [batch], drawn, CPU).allocated == planned


@pytest.mark.parametrize("state_dtype", ["float32", "bf16-stochastic"])
def test_interrupted_and_resumed(tmp_path: Path, state_dtype: str) -> None:
    settings = {"precision": "bf16", "state_dtype": state_dtype}
    expected = trained(tmp_path / "a", "none", **settings)
    with pytest.raises(Interrupted):
        trained(tmp_path / "b", "none", stop_at=4, **settings)
    resumed = trained(tmp_path / "b", "none", **settings)
    assert_same(resumed.weights(), expected.weights())
    stores = (resumed.assembly.store, expected.assembly.store)
    assert_same(*(store.saved_tensors() for store in stores))


@pytest.mark.parametrize(("precision", "state_dtype"), PAIRS)
def test_bytes_are_those_of_the_moments(tmp_path: Path, precision: str, state_dtype: str) -> None:
    """Two moments an element, and the float32 copy of the weights where there is one."""
    config = training(1, precision=precision, state_dtype=state_dtype)
    run = make_run(tmp_path, full_fine_tuning(), config)
    group = run.assembly.store.groups["embed"]
    size = sum(parameter.numel() for parameter in group.parameters)
    assert size % 64 == 0
    per_element = 2 * STATE_DTYPES[state_dtype][0].itemsize + 4 * (precision == "bf16-master")
    assert group.state_bytes == per_element * size


def stuck(folder: Path, **settings: Any) -> float | None:
    run = make_run(folder, full_fine_tuning(), training(20, lr=1e-5, **settings))
    run.trainer.run()
    return run.assembly.store.stuck_second_moment_share()


def test_second_moments_that_cannot_fall_are_counted(tmp_path: Path) -> None:
    assert stuck(tmp_path / "a") is None
    nearest = stuck(tmp_path / "b", precision="bf16")
    assert nearest is not None and nearest > 0.99
    random = stuck(tmp_path / "c", precision="bf16", state_dtype="bf16-stochastic")
    assert random is not None and 0.5 < random < 0.95, "a step in five or so comes through"
    assert stuck(tmp_path / "d", precision="bf16", state_dtype="float32") is None
