"""This trainer: a cell of a suite, by the functions that `lwft-bench run` calls in a cell's process."""

from __future__ import annotations

import warnings
from pathlib import Path

from benchmarks.peers.setting import Setting, cell_of
from benchmarks.peers.turns import Turns
from lwft_bench.cell.loading import load
from lwft_bench.cell.training import train
from lwft_bench.schema.events import Event, PhaseBegan
from lwft_bench.training.ranks import ALONE


def run(setting: Setting, turns: Turns, method: str, batching: str, *settings: str) -> None:
    """Whole training: selections, switches, probing, readings; no evaluation."""
    cell = cell_of(setting.suite, method, f"training.batching={batching}", *settings)
    loaded = load(cell, is_scored=False)
    training = False

    def emit(event: Event) -> None:
        nonlocal training
        training |= event == PhaseBegan("train")

    def after_a_step() -> bool:
        """Asked once a step whether to stop; steps of probing are no optimizer steps."""
        if training:
            turns.step_done()
        return False

    def save(path: Path) -> None:
        loaded.model.save_pretrained(path)

    turns.save = save
    folder = Path(setting.folder, f"{method}-{batching}")
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(loaded, folder, emit, after_a_step, ALONE)
