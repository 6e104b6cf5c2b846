"""What a training run did, row by row: from it come the records, the verdict and the figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from lwft_bench.data.extents import Extent
from lwft_bench.strategies.base import Selection, Unit

CHUNK_ELEMENTS = 2**20
ROWS = ("steps", "selections", "checksums", "states", "validation", "measurements", "switches")


@dataclass(slots=True)
class Trace:
    """Rows are JSON-able and go into checkpoints and the cell's folder.

    steps: see steps.jsonl; and the Extent of the batch, `computed` and `needed`. selections: see
    selections.jsonl. checksums: of every group at the start of training, at the end of each period
    and of training: {"step": steps done, "groups": {name: checksum}}. states: at each selection, of
    the optimizer state of groups (`state_checksums`): {"step": the next one, "left": those that
    trained until then, "taken": those that train from then on}.
    """

    units: list[dict[str, Any]]
    probing_steps: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    selections: list[dict[str, Any]] = field(default_factory=list)
    checksums: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)
    """{"step": steps done, "loss": validation loss}"""
    measurements: list[dict[str, Any]] = field(default_factory=list)
    """What the strategy had measured: {"step": the next one, "statistic": its name, "computed": the
    Extent of what went through the model for it, "seconds"}"""
    switches: list[dict[str, Any]] = field(default_factory=list)
    """What selecting took, measuring left out: {"step": the next one, "seconds"}"""

    @classmethod
    def of(cls, units: Iterable[Unit], probing_steps: int) -> Trace:
        """An empty trace."""
        return cls([asdict(unit) for unit in units], probing_steps)

    def add_selection(self, step: int, selection: Selection) -> None:
        """Records what was selected before `step`."""
        row: dict[str, Any] = {
            "step": step,
            "num_steps": selection.num_steps,
            "units": sorted(int(unit) for unit in selection.units),
        }
        for key in ("probabilities", "scores"):
            values = getattr(selection, key)
            if values is not None:
                row[key] = [float(value) for value in values]
        if selection.ages is not None:
            row["ages"] = [int(age) for age in selection.ages]
        self.selections.append(row)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that grows, for a checkpoint."""
        return {name: getattr(self, name) for name in ROWS}

    def restore(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Takes what `rows` gave."""
        for name in ROWS:
            setattr(self, name, rows[name])

    def step_rows(self) -> list[dict[str, Any]]:
        """The rows of steps.jsonl: a validation loss stands with the last step before it."""
        losses = {row["step"] - 1: row["loss"] for row in self.validation}
        rows = []
        for row in self.steps:
            told = {key: value for key, value in row.items() if key not in ("computed", "needed")}
            told["padded_tokens"] = Extent(*row["computed"]).tokens
            if row["step"] in losses:
                told["validation_loss"] = losses[row["step"]]
            rows.append(told)
        return rows

    def selection_rows(self) -> list[dict[str, Any]]:
        """The rows of selections.jsonl, header first."""
        return [{"units": self.units, "probing_steps": self.probing_steps}, *self.selections]


def checksum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """int64 scalar on the tensors' device over their bits and positions.

    One pass on the device and one number to fetch. It tells whether weights changed; it is no
    cryptographic digest.
    """
    total: torch.Tensor | None = None
    for tensor in tensors:
        bits = tensor.detach().reshape(-1)
        bits = bits.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[bits.element_size()])
        for chunk in bits.split(CHUNK_ELEMENTS):
            odd = torch.arange(1, 2 * chunk.numel(), 2, device=chunk.device)
            mixed = (chunk.to(torch.int64) * odd).sum()
            total = mixed if total is None else total * 6364136223846793005 + mixed
    assert total is not None
    return total
