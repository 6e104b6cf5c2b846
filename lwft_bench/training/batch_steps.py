"""Steps on the batches of a data order: this rank's share of each, on the device."""

from __future__ import annotations

from collections.abc import Sequence

from lwft_bench.data.batching import Batch
from lwft_bench.data.extents import computed_extent, needed_extent
from lwft_bench.schema.events import Emit, seldom
from lwft_bench.schema.rows import StepRow
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.streams import undisturbed


class BatchSteps:
    """Runs the step on batches as they lie on the host.

    emit: is told, now and then, that steps go on: one may have very many micro-batches.
    """

    def __init__(self, assembly: Assembly, emit: Emit) -> None:
        self._tell = seldom(emit)
        self._steps_done = 0
        self._steps = assembly.config.steps
        self._step = assembly.step
        self._readings = assembly.readings
        self._ranks = assembly.ranks
        self._shards = assembly.shards
        self._device = assembly.surroundings.device

    def run(self, batches: Sequence[Batch], lr: float | None, *, step: int, period: int) -> StepRow:
        """One step over these micro-batches; lr None measures and updates nothing.

        Returns:
            The row of the step, without what its readings will say.
        """
        self._steps_done = max(step, 0)
        num_targets = self._run(batches, lr)
        return StepRow(
            step=step,
            lr=lr or 0.0,
            tokens=sum(batch.num_tokens for batch in batches),
            target_tokens=num_targets,
            period=period,
            computed=computed_extent(batches),
            needed=needed_extent(batches),
        )

    def preflight(self, batches: Sequence[Batch]) -> None:
        """A discarded forward and backward: running out of memory shows now.

        Weights, state and random streams are left as they were.
        """
        with undisturbed(self._device):
            self._run(batches, None)
        self._readings.discard_step()

    def _run(self, batches: Sequence[Batch], lr: float | None) -> int:
        """Gives the target tokens of the step over all ranks."""
        num_targets = sum(batch.num_target_tokens for batch in batches)
        share = [DeviceBatch.of(batch, self._device) for batch in self._ranks.share(batches)]
        turns = -(-len(batches) // self._shards.world)
        if self._shards.world > 1 and len(share) < turns:  # the others need its weights once more
            share.append(share[-1].without_targets())
        self._step.run(share, num_targets, lr, self._go_on)
        return num_targets

    def _go_on(self) -> None:
        self._tell(self._steps_done, self._steps)
