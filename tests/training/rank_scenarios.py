"""What `test_ranks.py` has two processes do: each scenario is run by every rank, in order."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lwft_bench.models.digests import weights_digest
from lwft_bench.schema.cell import ClipConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.strategies.base import Window
from lwft_bench.training.errors import Diverged, Interrupted
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.ranks import Ranks, RanksDiffer
from tests.training.tiny import Run, full_fine_tuning, make_run, method, training

WORLD = 2
STEPS = 20

CARDS: dict[str, MethodConfig] = {
    "fft": full_fine_tuning(),
    "lisa": method(
        "lisa", strategy_num_active=2, strategy_period=4, always_train=("embed", "head")
    ),
    "grass": method(
        "grass",
        strategy_num_active=2,
        strategy_period=4,
        strategy_probing_steps=3,
        strategy_refresh=8,
        state_on_device="none",
    ),
}
CLIPS = {"clip-global": ("fft", "global"), "clip-unit": ("lisa", "unit")}


def config(**options: Any) -> TrainingConfig:
    """Five examples a step, which two ranks cannot halve, with uneven targets."""
    return training(**({"steps": STEPS, "batch_size": 5, "dropout": False} | options))


def finish(run: Run) -> dict[str, Any]:
    """Trains to the end; what came of it, with every table the strategy was shown."""
    shown: list[np.ndarray] = []
    strategy = run.trainer._strategy
    observe = strategy.observe

    def record(window: Window) -> None:
        shown.append(window.grad_rms)
        observe(window)

    strategy.observe = record  # type: ignore[method-assign]
    run.trainer.run()
    return {
        "weights": run.weights(),
        "digest": weights_digest(run.model.named_parameters()),
        "selections": [row.units for row in run.trainer.trace.selections],
        "losses": [row.loss for row in run.trainer.trace.steps],
        "tokens": [row.tokens for row in run.trainer.trace.steps],
        "shown": torch.from_numpy(np.concatenate(shown)),
    }


def trained(folder: Path, ranks: Ranks, card: str, **options: Any) -> dict[str, Any]:
    return finish(make_run(folder, CARDS[card], config(**options), ranks=ranks))


def mean_of_means(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """The mutant: each rank takes the mean over its own targets, and the means are averaged."""
    run = make_run(folder, CARDS["fft"], config(), ranks=ranks)
    step = run.assembly.step
    step_run = step.run

    def own_mean(batches: Any, num_targets: int, lr: float | None, *tell: Any) -> None:
        own = sum(batch.targets.numel() for batch in batches)
        step_run(batches, own * ranks.world, lr, *tell)

    step.run = own_mean  # type: ignore[method-assign]
    return finish(run)


def with_dropout(
    folder: Path, ranks: Ranks, stop_at: int | None, card: str = "grass"
) -> dict[str, Any]:
    """Stopped by a word to the second rank alone, and gone on with; None: left in peace."""
    start = partial(
        make_run,
        folder,
        CARDS[card],
        config(steps=11, dropout=True, micro_batch_size=1),
        "gpt2",
        ranks=ranks,
    )
    if stop_at is not None:
        first = start(stop_when=lambda call: ranks.rank == 1 and call == stop_at)
        try:
            first.trainer.run()
        except Interrupted:
            pass
        else:
            raise AssertionError("it did not stop")
    return finish(start())


def dropout_streams(folder: Path, ranks: Ranks) -> dict[str, Any]:
    run = make_run(folder, CARDS["fft"], config(steps=1, dropout=True), "gpt2", ranks=ranks)
    run.trainer.run()
    return {"state": torch.get_rng_state()}


def fails(folder: Path, ranks: Ranks, break_it: Callable[[Run, Ranks], None]) -> dict[str, Any]:
    """What each rank says when something is wrong on the second one."""
    run = make_run(folder, CARDS["fft"], config(steps=4), ranks=ranks)
    break_it(run, ranks)
    try:
        run.trainer.run()
    except (Diverged, RanksDiffer) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": None}


def lose_a_bit(run: Run, ranks: Ranks) -> None:
    with torch.no_grad():
        run.model.lm_head.weight[0, 0] += ranks.rank


def diverge(run: Run, ranks: Ranks) -> None:
    loss = run.assembly.loss.__class__.__call__
    step = run.assembly.step
    scale = float("inf") if ranks.rank == 1 else 1.0
    step.loss = lambda batch: loss(run.assembly.loss, batch) * scale  # type: ignore[assignment]


def experts(folder: Path, ranks: Ranks) -> dict[str, Any]:
    """A map that only every other example uses, so that a rank's share may lack it, and one that is
    never used."""
    run = make_run(folder, CARDS["fft"], config(micro_batch_size=1, batch_size=3), ranks=ranks)
    layers = run.model.model.layers
    step = run.assembly.step
    loss = step.loss

    def routed(batch: DeviceBatch) -> torch.Tensor:
        sometimes = batch.targets.numel() % 2 == 0
        for projection, used in (
            (layers[2].mlp.down_proj, sometimes),
            (layers[1].mlp.gate_proj, False),
        ):
            projection.weight.requires_grad_(used)
        return loss(batch)

    step.loss = routed  # type: ignore[assignment]
    return finish(run)


SCENARIOS: dict[str, Callable[[Path, Ranks], dict[str, Any]]] = {
    **{card: partial(trained, card=card) for card in CARDS},
    **{
        name: partial(trained, card=card, clip=ClipConfig(mode=mode, max_norm=0.05))  # type: ignore
        for name, (card, mode) in CLIPS.items()
    },
    "micro-batches": partial(trained, card="fft", micro_batch_size=2),
    "in-backward": partial(trained, card="fft", update="in_backward"),
    "bf16": partial(trained, card="lisa", precision="bf16"),
    "mean-of-means": mean_of_means,
    "dropout": dropout_streams,
    "undisturbed": partial(with_dropout, stop_at=None),
    **{f"stopped-{at}": partial(with_dropout, stop_at=at) for at in (1, 10)},
    "differs": partial(fails, break_it=lose_a_bit),
    "diverges": partial(fails, break_it=diverge),
    "experts": experts,
}


def run_on_ranks(
    folder: Path, names: Sequence[str], module: str = __name__
) -> dict[str, list[dict[str, Any]]]:
    """Scenario -> what each rank gave. Processes are started once for all of them.

    Args:
        module: Whose SCENARIOS.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_rank, args=(rank, port, folder, names, module))
        for rank in range(WORLD)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WORLD
    given = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    return {name: [of_rank[name] for of_rank in given] for name in names}


def _rank(rank: int, port: int, folder: Path, names: Sequence[str], module: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD)}
    torch.set_num_threads(1)
    torch._C._set_mkldnn_enabled(False)  # oneDNN would compile a bf16 kernel for each shape
    ranks = Ranks.join()
    scenarios = importlib.import_module(module).SCENARIOS
    given = {name: scenarios[name](folder / name, ranks) for name in names}
    torch.save(given, folder / f"{rank}.pt")
