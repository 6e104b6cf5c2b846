"""Every number that leaves the device: collected per step, fetched in one copy."""

from __future__ import annotations

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.training.ranks import ALONE, Ranks


def sum_of_squares(tensor: torch.Tensor) -> torch.Tensor:
    """float64 scalar: float32 within chunks of CHUNK_ELEMENTS, float64 across them.

    A bfloat16 sum over 1e8 terms saturates; a float32 one loses the small ones.
    """
    total = torch.zeros((), dtype=torch.float64, device=tensor.device)
    flat = tensor.reshape(-1)
    if isinstance(tensor, FakeTensor):  # no values: what later chunks need two show
        flat = flat[: 2 * CHUNK_ELEMENTS]
    for chunk in flat.split(CHUNK_ELEMENTS):
        # Not torch.dot, whose running sums lose four digits over a chunk; this one is pairwise.
        total += chunk.float().square().sum()
    return total


class Readings:
    """One row a step: the loss, what gradients were scaled by, and each unit's sum of their squares.

    The step never looks at a value: it adds device scalars here, and `fetch` brings all rows since
    the last fetch to the host at once. On fake tensors there are no values; `fetch` then gives ones.
    Over several ranks each adds its share of the loss, and gradients are summed before they come here.
    Of gradients that are shared out each adds the squares of its rows.
    """

    def __init__(
        self,
        device: torch.device,
        num_units: int,
        *,
        fake: bool = False,
        ranks: Ranks = ALONE,
        shards: Ranks = ALONE,
    ) -> None:
        """shards: the ranks that share out each gradient."""
        self._device = device
        self._num_units = num_units
        self._fake = fake
        self._ranks = ranks
        self._shards = shards
        self._rows: list[torch.Tensor] = []
        self._measured: list[set[int]] = []
        self._scaled: list[bool] = []

    def begin_step(self) -> None:
        """Starts a row."""
        self._rows.append(
            torch.zeros(2 + self._num_units, dtype=torch.float64, device=self._device)
        )
        self._measured.append(set())
        self._scaled.append(False)

    def add_loss(self, loss: torch.Tensor) -> None:
        self._rows[-1][0] += loss.detach()

    def add_clip_scale(self, scale: torch.Tensor) -> None:
        """What clipping multiplies all gradients of the step by."""
        self._rows[-1][1] += scale
        self._scaled[-1] = True

    def add_squares(self, unit: int, squares: torch.Tensor) -> None:
        """Adds to the unit's sum of squared gradients."""
        self._rows[-1][2 + unit] += squares
        self._measured[-1].add(unit)

    def discard_step(self) -> None:
        """Forgets the last row (a pre-flight is no step)."""
        del self._rows[-1], self._measured[-1], self._scaled[-1]

    def fetch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loss [steps], clip scale [steps] (1 where nothing was clipped) and squares [steps, units] (NaN
        where a unit had no gradient); then forgets.
        """
        shape = (len(self._rows), 2 + self._num_units)
        known = self._rows and not self._fake
        table = self._summed().cpu().numpy() if known else np.ones(shape)
        squares = np.full((len(self._rows), self._num_units), np.nan)
        for row, units in enumerate(self._measured):
            columns = sorted(units)
            squares[row, columns] = table[row, [2 + unit for unit in columns]]
        scales = np.where(self._scaled, table[:, 1], 1.0)
        self._rows, self._measured, self._scaled = [], [], []
        return table[:, 0], scales, squares

    def _summed(self) -> torch.Tensor:
        table = torch.stack(self._rows)
        if self._ranks.world > 1:
            losses = table[:, 0].clone()
            self._ranks.sum(losses)
            table[:, 0] = losses
        if self._shards.world > 1:
            squares = table[:, 2:].clone()
            self._shards.sum(squares)
            table[:, 2:] = squares
        return table
