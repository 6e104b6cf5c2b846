"""What `test_sharded.py` has two processes do that share out a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lwft_bench.models.sharded import whole_state
from lwft_bench.schema.cell import ClipConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.training.errors import Interrupted
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.readings import Readings
from tests.training.rank_scenarios import CARDS, config, finish
from tests.training.tiny import Run, make_run, method

MORE: dict[str, MethodConfig] = {
    "head-alone": method("all", units=("head",)),
    "layers": method("lisa", strategy_num_active=1, strategy_period=3, state_on_device="none"),
    "outliers": method("ows-outlier", strategy_num_active=2, strategy_period=4, strategy_tau=2.0),
    "norms": method("ows-norm", strategy_num_active=2, strategy_period=4),
    "moved": method(
        "lisa",
        strategy_num_active=1,
        strategy_period=4,
        unselected={"optimizer": {"name": "sign"}, "lr_scale": 0.5},
    ),
}
ALL = CARDS | MORE


def settings(ranks: Ranks, **options: Any) -> TrainingConfig:
    """The same on one process, which has the whole model."""
    return config(**options, **({"sharded": ranks.world} if ranks.world > 1 else {}))


def trained(folder: Path, ranks: Ranks, card: str, family: str = "llama", **options: Any) -> Any:
    run = make_run(folder, ALL[card], settings(ranks, **options), family, ranks=ranks)
    return finish(run) | more_of(run)


def more_of(run: Run) -> dict[str, Any]:
    trace, store = run.trainer.trace, run.assembly.store
    return {
        "probabilities": [row.probabilities for row in trace.selections],
        "scores": [row.scores for row in trace.selections],
        "updated": store.trained_parameters,
        "survived": store.surviving_update_share(),
        "host_bytes": store.host_bytes,
        "device_bytes": store.device_bytes,
        "frozen_unchanged": run.trainer.frozen_unchanged,
        "checksums": [row.groups for row in trace.checksums],
    }


def stopped(folder: Path, ranks: Ranks, at: int, card: str = "grass") -> dict[str, Any]:
    """By a word to the second rank alone, and gone on with by trainers made anew."""
    options = {"steps": 11, "dropout": True, "micro_batch_size": 1}
    start = partial(make_run, folder, ALL[card], settings(ranks, **options), "gpt2", ranks=ranks)
    if at:
        try:
            start(stop_when=lambda call: ranks.rank == 1 and call == at).trainer.run()
        except Interrupted:
            pass
        else:
            raise AssertionError("it did not stop")
    return finish(start())


def saved(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """The state dict of a tied model, whole."""
    run = make_run(folder, CARDS["fft"], settings(ranks, steps=2), "llama-tied", ranks=ranks)
    run.trainer.run()
    return {"state": whole_state(run.model), "weights": run.weights()}


@contextmanager
def local_clipping() -> Iterator[None]:
    """The mutant: each rank clips by the norm of its own rows."""
    from lwft_bench.training.step import TrainingStep

    scale_down = TrainingStep._scale_down

    def own(self: TrainingStep, groups: Any) -> Any:
        self._shards = ALONE
        return scale_down(self, groups)

    with patch.object(TrainingStep, "_scale_down", own):
        yield


@contextmanager
def local_probing() -> Iterator[None]:
    """The mutant: a unit's gradient is measured on the rows of a rank."""
    with patch.object(Readings, "__init__", partial_init(Readings.__init__, shards=ALONE)):
        yield


def partial_init(init: Callable[..., None], **fixed: Any) -> Callable[..., None]:
    return lambda self, *args, **options: init(self, *args, **(options | fixed))


@contextmanager
def lost_offset() -> Iterator[None]:
    """The mutant: random bits are numbered from each rank's first row."""
    with patch("lwft_bench.state.store.first_element", lambda parameter: 0):
        yield


def mutated(folder: Path, ranks: Ranks, mutant: Any, **options: Any) -> dict[str, Any]:
    with mutant():
        return trained(folder, ranks, **options)


CLIPPED = {"clip": ClipConfig(mode="global", max_norm=0.05)}
UNIT_CLIPPED = {"clip": ClipConfig(mode="unit", max_norm=0.05)}
STOCHASTIC = {"card": "lisa", "precision": "bf16-stochastic", "steps": 1}

SCENARIOS: dict[str, Callable[[Path, Ranks], dict[str, Any]]] = {
    **{card: partial(trained, card=card) for card in ALL},
    "tied": partial(trained, card="lisa", family="llama-tied"),
    "gpt2": partial(trained, card="grass", family="gpt2"),
    "clip-global": partial(trained, card="fft", **CLIPPED),
    "clip-unit": partial(trained, card="lisa", **UNIT_CLIPPED),
    "micro-batches": partial(trained, card="lisa", micro_batch_size=2),
    "one-by-one": partial(trained, card="fft", micro_batch_size=1),
    "checkpointing": partial(trained, card="lisa", checkpointing=True),
    "master": partial(trained, card="lisa", precision="bf16-master", steps=6),
    "stochastic": partial(trained, **STOCHASTIC),
    "undisturbed": partial(stopped, at=0),
    **{f"stopped-{at}": partial(stopped, at=at) for at in (1, 10)},
    "saved": saved,
    "local clipping": partial(mutated, mutant=local_clipping, card="fft", **CLIPPED),
    "local probing": partial(mutated, mutant=local_probing, card="grass"),
    "lost offset": partial(mutated, mutant=lost_offset, **STOCHASTIC),
}
