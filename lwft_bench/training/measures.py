"""Statistics of units that a strategy may ask for: `context.measure`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from lwft_bench.data.batching import Batch, DataOrder
from lwft_bench.data.extents import computed_extent
from lwft_bench.memory.meters import synchronised_clock
from lwft_bench.models.sharded import made_whole, settle
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.extents import Extent
from lwft_bench.schema.rows import Measurement
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.groups import UnitGroup
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.outliers import linear_maps, outlier_share, watched
from lwft_bench.training.readings import sum_of_squares
from lwft_bench.training.singular_values import signal_to_noise
from lwft_bench.training.streams import undisturbed


class Measures:
    """Measures units on the model as it is now, without gradients and in evaluation mode.

    Statistics of weights are those of the weights that the model was loaded with, adapters left out,
    unless they say otherwise.
    Those that need data draw batches of the training set from `order`, the stream for measuring.
    Every rank measures everything, on all ranks' micro-batches, so that all get the same numbers. A
    matrix that ranks share out is made whole for that, one at a time.
    """

    def __init__(self, assembly: Assembly, order: DataOrder) -> None:
        self._assembly = assembly
        self._units = assembly.groups.units
        self._order = order
        self._device = assembly.surroundings.device
        self.computed = Extent()
        """Of what went through the model so far."""
        self._statistics: dict[str, Callable[..., list[float]]] = {
            "weight_norm": self._weight_norm,
            "weight_rms": self._weight_rms,
            "snr": self._snr,
            "outlier_share": self._outlier_share,
            "suppressed_loss": self._suppressed_loss,
        }

    def __call__(self, statistic: str, **options: object) -> np.ndarray:
        """float64, one number per unit; of `suppressed_loss`, one per set of units.

        Raises:
            ValueError: There is no such statistic.
            UserError: The model or its adapter has nothing of which it could be taken.
        """
        if statistic not in self._statistics:
            known = ", ".join(self._statistics)
            raise ValueError(f"unknown statistic {statistic!r}; there are: {known}")
        model = self._assembly.model
        model.eval()
        try:
            with torch.no_grad():
                return np.array(self._statistics[statistic](**options), dtype=np.float64)
        finally:
            model.train()
            settle(model)

    def timed(self, step: int, statistic: str, **options: object) -> tuple[np.ndarray, Measurement]:
        """As a call, with the row that tells of it. Torch's random streams are left as they were.

        Args:
            step: The next one.
        """
        started, before = synchronised_clock(self._device), self.computed
        with self._assembly.surroundings.account.phase("measure"), undisturbed(self._device):
            values = self(statistic, **options)
        return values, Measurement(
            step=step,
            statistic=statistic,
            computed=self.computed.minus(before),
            seconds=synchronised_clock(self._device) - started,
        )

    def _matrices(self, unit: UnitGroup) -> Iterator[torch.Tensor]:
        """The unit's own weights that are matrices, as they are (not what quantisation made).

        Experts that are fused into one tensor are a matrix each.
        """
        filters = _filters(self._assembly.model)
        found = False
        for parameter in () if unit.rows else unit.pretrained.values():
            is_weight = parameter.is_floating_point() and id(parameter) not in filters
            if is_weight and parameter.dim() in (2, 3):
                found = True
                matrix = made_whole(parameter)
                yield from (matrix,) if matrix.dim() == 2 else matrix.unbind()
        if not found:
            raise UserError(
                f"The unit {unit.name} has no weight matrix in floating point to take statistics of.",
                hint="Use an adapter that leaves weights unquantised, or leave the unit out of"
                " `units`.",
            )

    def _weight_norm(self) -> list[float]:
        """The mean, over the unit's weight matrices, of the Frobenius norm."""
        return [
            float(np.mean([float(sum_of_squares(m).sqrt()) for m in self._matrices(unit)]))
            for unit in self._units
        ]

    def _weight_rms(self) -> list[float]:
        """The root mean square over the unit's trained parameters, as `Window.grad_rms` is one over
        their gradients: over adapters where there are any.
        """
        squares = (sum(self._squares(tensor) for tensor in unit.tensors) for unit in self._units)
        return [
            float(np.sqrt(total / unit.num_parameters))
            for total, unit in zip(squares, self._units, strict=True)
        ]

    def _squares(self, tensor: torch.Tensor) -> float:
        """Summed over all ranks' elements."""
        squares = sum_of_squares(tensor)
        self._assembly.shards.sum(squares)
        return float(squares)

    def _snr(self) -> list[float]:
        """The mean, over the unit's weight matrices, of `signal_to_noise`."""
        return [
            float(np.mean([signal_to_noise(matrix) for matrix in self._matrices(unit)]))
            for unit in self._units
        ]

    def _outlier_share(self, tau: float, batches: int) -> list[float]:
        """`outlier_share` of the unit's linear maps, with inputs from so many batches."""
        model = self._assembly.model
        maps = [linear_maps(model, unit.pretrained.values()) for unit in self._units]
        for unit, found in zip(self._units, maps, strict=True):
            if not found:
                raise UserError(
                    f"The unit {unit.name} has no linear map whose outliers could be counted.",
                    hint="Leave it out of the method's `units`.",
                )
        everything = [linear for found in maps for linear in found]
        for _ in range(batches):
            for batch in self._order.next_batch():
                with watched(everything, batch):
                    self._loss(batch)
        return [outlier_share(found, tau) for found in maps]

    def _suppressed_loss(self, units: Sequence[Collection[int]], beta: float) -> list[float]:
        """For each set of units: the mean loss per target token with what their adapters add
        multiplied by beta; all on the same next batch.
        """
        batches = self._order.next_batch()
        num_targets = sum(batch.num_target_tokens for batch in batches)
        losses = []
        for suppressed in units:
            names = [name for unit in suppressed for name in self._units[unit].parameters]
            with self._assembly.adapter.suppressed(self._assembly.model, names, beta):
                losses.append(sum(self._loss(batch) for batch in batches) / num_targets)
        return losses

    def _loss(self, batch: Batch) -> float:
        """Summed over target tokens."""
        self.computed = self.computed.plus(computed_extent([batch]))
        return float(self._assembly.loss(DeviceBatch.of(batch, self._device)))


def _filters(model: nn.Module) -> set[int]:
    """Ids of the weights of convolutions, which are no stacks of matrices."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {id(module.weight) for module in model.modules() if isinstance(module, kinds)}
