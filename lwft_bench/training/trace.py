"""What a training run did, row by row: from it come the records, the verdict and the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.schema.rows import (
    ChecksumRow,
    Measurement,
    Row,
    SelectionHeader,
    SelectionRow,
    StateRow,
    StepRow,
    SwitchRow,
    UnitRow,
    ValidationRow,
)
from lwft_bench.strategies.base import Selection, Unit

ROWS: dict[str, type[Row]] = {
    "steps": StepRow,
    "selections": SelectionRow,
    "checksums": ChecksumRow,
    "states": StateRow,
    "validation": ValidationRow,
    "measurements": Measurement,
    "switches": SwitchRow,
}


@dataclass(slots=True)
class Trace:
    """Rows go into checkpoints and, steps and selections, into the cell's folder.

    checksums: of every group at the start of training, at the end of each period and of training.
    states: at each selection, of the optimizer state of groups (`state_checksums`).
    """

    units: tuple[UnitRow, ...]
    probing_steps: int
    steps: list[StepRow] = field(default_factory=list)
    selections: list[SelectionRow] = field(default_factory=list)
    checksums: list[ChecksumRow] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    validation: list[ValidationRow] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    switches: list[SwitchRow] = field(default_factory=list)

    @classmethod
    def of(cls, units: Iterable[Unit], probing_steps: int) -> Trace:
        """An empty trace."""
        return cls(tuple(UnitRow(**asdict(unit)) for unit in units), probing_steps)

    def add_selection(self, step: int, selection: Selection) -> None:
        """Records what was selected before `step`."""
        probabilities, scores, ages = selection.probabilities, selection.scores, selection.ages
        self.selections.append(
            SelectionRow(
                step=step,
                num_steps=int(selection.num_steps),
                units=tuple(sorted(int(unit) for unit in selection.units)),
                probabilities=None if probabilities is None else tuple(map(float, probabilities)),
                scores=None if scores is None else tuple(map(float, scores)),
                ages=None if ages is None else tuple(map(int, ages)),
                observed=tuple(sorted(int(unit) for unit in selection.observe)) or None,
                restart=selection.restart,
            )
        )

    def rows(self, after: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
        """Everything that grows, each row with its kind, for a checkpoint.

        Args:
            after: How many of each kind to leave out.
        """
        return [
            (name, row.model_dump()) for name in ROWS for row in getattr(self, name)[after[name] :]
        ]

    def restore(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Takes what `rows` gave, from the first on, in place of its own."""
        for name in ROWS:
            setattr(self, name, [])
        for name, row in rows:
            getattr(self, name).append(ROWS[name].model_validate(row))

    @property
    def counts(self) -> Counter[str]:
        """Rows of each kind."""
        return Counter({name: len(getattr(self, name)) for name in ROWS})

    def step_rows(self) -> list[StepRow]:
        """The rows of steps.jsonl: a validation loss stands with the last step before it."""
        losses = {row.step - 1: row.loss for row in self.validation}
        return [
            row.model_copy(update={"validation_loss": losses[row.step]})
            if row.step in losses
            else row
            for row in self.steps
        ]

    @property
    def header(self) -> SelectionHeader:
        """The first line of selections.jsonl."""
        return SelectionHeader(units=self.units, probing_steps=self.probing_steps)


def checksum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """int64 scalar on the tensors' device over their bits and positions.

    One pass on the device and one number to fetch. It tells whether weights changed; it is no
    cryptographic digest.
    """
    total: torch.Tensor | None = None
    odd = torch.empty(0, dtype=torch.int64)
    for tensor in tensors:
        bits = tensor.detach().reshape(-1)
        bits = bits.view({1: torch.uint8, 2: torch.int16, 4: torch.int32}[bits.element_size()])
        for chunk in bits.split(CHUNK_ELEMENTS):
            if odd.device != chunk.device or len(odd) < len(chunk):
                odd = torch.arange(1, 2 * len(chunk), 2, device=chunk.device)
            mixed = chunk.to(torch.int64).mul_(odd[: len(chunk)]).sum()
            total = mixed if total is None else total * 6364136223846793005 + mixed
    assert total is not None
    return total
