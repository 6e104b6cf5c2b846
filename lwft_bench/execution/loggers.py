"""The three loggers, each over its own package and into the run's directory; none asks a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lwft_bench.execution.metric_logs import MetricLogger
from lwft_bench.plugins.extras import import_extra
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError

FOLDER = "logs"
"""Within the run's directory; a folder a logger below it."""
PROJECT = "lwft-bench"


class TensorBoardLogger:
    """A folder of event files a cell."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._summary = import_extra("tensorboard.summary", "tensorboard")
        self._writers: dict[str, Any] = {}

    def begin(self, cell: Cell) -> None:
        self._writers[cell.id] = self._summary.Writer(str(self._folder / cell.id))

    def log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        writer = self._writers[cell_id]
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def end(self, cell_id: str) -> None:
        if (writer := self._writers.pop(cell_id, None)) is not None:
            writer.close()


class WandbLogger:
    """A run a cell, offline unless WANDB_MODE says otherwise: `wandb sync` sends it."""

    name = "wandb"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._wandb = import_extra("wandb", "wandb")
        self._runs: dict[str, Any] = {}
        self._pending: dict[str, tuple[int, dict[str, float]]] = {}

    def begin(self, cell: Cell) -> None:
        self._runs[cell.id] = self._wandb.init(
            project=PROJECT,
            name=cell.id,
            group=f"{cell.model.name} on {cell.task.name}",
            config=_described(cell),
            dir=str(self._folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",  # cells run beside each other
            settings=self._wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
            ),
        )

    def log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Sent once the next step is known, since a step that was sent takes nothing more."""
        before = self._pending.get(cell_id)
        if before is not None and before[0] == step:
            before[1].update(metrics)
            return
        self._send(cell_id)
        self._pending[cell_id] = (step, dict(metrics))

    def end(self, cell_id: str) -> None:
        self._send(cell_id)
        if (run := self._runs.pop(cell_id, None)) is not None:
            run.finish()

    def _send(self, cell_id: str) -> None:
        pending = self._pending.pop(cell_id, None)
        if pending is not None and cell_id in self._runs:
            self._runs[cell_id].log(pending[1], step=pending[0])


class TrackioLogger:
    """A run a cell in trackio's own data base, which TRACKIO_DIR can have elsewhere."""

    name = "trackio"

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder.resolve()))
        self._trackio = import_extra("trackio", "trackio")
        self._runs: dict[str, Any] = {}

    def begin(self, cell: Cell) -> None:
        self._runs[cell.id] = self._trackio.init(
            project=PROJECT,
            name=cell.id,
            group=f"{cell.model.name} on {cell.task.name}",
            config=_described(cell),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        self._runs[cell_id].log(dict(metrics), step=step)

    def end(self, cell_id: str) -> None:
        if (run := self._runs.pop(cell_id, None)) is not None:
            run.finish()


LOGGERS: dict[str, Callable[[Path], MetricLogger]] = {
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "trackio": TrackioLogger,
}


def make_loggers(names: Sequence[str], out: Path) -> list[MetricLogger]:
    """The loggers of these names, which write below the run's directory.

    Raises:
        UserError: There is no such logger, or its package is not installed.
    """
    if unknown := [name for name in names if name not in LOGGERS]:
        raise UserError(
            f"--log: expected {', '.join(LOGGERS)} with commas between, found "
            f"{', '.join(map(repr, unknown))}"
        )
    return [LOGGERS[name](out / FOLDER / name) for name in dict.fromkeys(names)]


def _described(cell: Cell) -> dict[str, Any]:
    return {
        "model": cell.model.name,
        "method": cell.method.name,
        "task": cell.task.name,
        "seed": cell.seed,
        "ablation": cell.ablation,
        "training": cell.training.model_dump(mode="json"),
    }
