"""Offloaded training under hostile orders of copies and kernels: equal to doing one after another.

By default one order for each method. `pytest tests/training/test_hostile_schedules.py -m "slow or not
slow"` tries five for each, and 1000 (`--schedules`) on one small trainer.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lwft_bench.plugins.registry import optimizers
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.simulated import SimulatedEngine
from lwft_bench.state.staging import NUM_SLOTS
from lwft_bench.training.errors import Interrupted
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, assert_same, make_run, method, training

CARDS = {
    name: card.model_copy(update={"state_on_device": "none"})
    for name, card in small_cards().items()
}
STEPS = 9


def trained(
    folder: Path,
    card: MethodConfig,
    engine: SimulatedEngine | None = None,
    *,
    steps: int = STEPS,
    **options: object,
) -> Run:
    run = make_run(folder, card, training(steps, bucket_bytes=1024, **options), engine=engine)
    run.trainer.run()
    return run


@pytest.mark.parametrize(
    "seeds",
    [pytest.param([1], id="one"), pytest.param([0, 2, 3, 4], marks=pytest.mark.slow, id="four")],
)
@pytest.mark.parametrize("name", CARDS)
def test_a_method_under_hostile_schedules(tmp_path: Path, name: str, seeds: list[int]) -> None:
    expected = trained(tmp_path / "synchronous", CARDS[name])
    for seed in seeds:
        update = "in_backward" if seed % 2 else "after_backward"
        engine = SimulatedEngine(seed)
        run = trained(tmp_path / str(seed), CARDS[name], engine, update=update)
        assert_same(run.weights(), expected.weights())
        assert (engine.bytes_in > 0) == (expected.assembly.store.host_bytes > 0)


def test_only_methods_without_state_move_none() -> None:
    stateless = {
        name for name, card in CARDS.items() if optimizers.get(card.optimizer.name).stateless
    }
    assert stateless == {"absignsgd", "block-sign-uniform"}


@pytest.mark.parametrize(
    ("precision", "state_on_device"),
    [
        ("bf16", "none"),
        ("bf16-master", 30_000),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [
                ("bf16", 30_000),
                ("bf16-stochastic", "none"),
                ("bf16-stochastic", 30_000),
                ("bf16-master", "none"),
            ]
        ),
    ],
)
def test_a_precision_under_hostile_schedules(
    tmp_path: Path, precision: str, state_on_device: str | int
) -> None:
    card = method("lisa", strategy_num_active=2, strategy_period=2, always_train=("embed", "head"))
    expected = trained(tmp_path / "resident", card, precision=precision)
    offloaded = card.model_copy(update={"state_on_device": state_on_device})
    for seed in range(3):
        engine = SimulatedEngine(seed)
        run = trained(tmp_path / str(seed), offloaded, engine, precision=precision)
        assert_same(run.weights(), expected.weights())
        assert engine.bytes_in > 0
        assert (run.assembly.store.device_bytes > 0) == (state_on_device != "none")


@pytest.mark.parametrize("policy", ["keep", "reset"])
def test_a_run_stopped_and_resumed_under_hostile_schedules(tmp_path: Path, policy: str) -> None:
    card = method("lisa", strategy_num_active=2, strategy_period=2, state_policy=policy)
    card = card.model_copy(update={"state_on_device": "none"})
    expected = trained(tmp_path / "a", card)
    for stop in range(1, STEPS - 1, 3):
        folder = tmp_path / str(stop)
        config = training(STEPS, bucket_bytes=1024)
        with pytest.raises(Interrupted):
            make_run(
                folder,
                card,
                config,
                stop_when=lambda n, s=stop: n == s,
                engine=SimulatedEngine(stop),
            ).trainer.run()
        resumed = make_run(folder, card, config, engine=SimulatedEngine(stop + 100))
        resumed.trainer.run()
        assert_same(resumed.weights(), expected.weights())


def test_the_runs_here_move_state_through_every_slot(tmp_path: Path) -> None:
    """The equalities above are worth something only if this holds."""
    card = CARDS["lisa"]
    run = trained(tmp_path, card, SimulatedEngine())
    buckets = run.assembly.store.groups["layer.0"].buckets
    assert sum(map(len, buckets)) >= 7 > NUM_SLOTS
    selections = [set(row.units) for row in run.trainer.trace.selections]
    assert sum(a != b for a, b in pairwise(selections)) >= 2
    assert any(a & b for i, a in enumerate(selections) for b in selections[i + 2 :])


@pytest.mark.slow
def test_many_schedules_on_one_trainer(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    card = method("lisa", strategy_num_active=1, strategy_period=2, always_train=("head",))
    card = card.model_copy(update={"state_on_device": "none"})
    expected = trained(tmp_path / "synchronous", card, steps=5)
    for seed in range(request.config.getoption("--schedules")):
        update = "in_backward" if seed % 2 else "after_backward"
        engine = SimulatedEngine(seed)
        run = trained(tmp_path / str(seed), card, engine, steps=5, update=update)
        assert_same(run.weights(), expected.weights())
        assert engine.bytes_in > 0
