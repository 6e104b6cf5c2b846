"""Which weights changed between two moments of training."""

from __future__ import annotations

import torch

from lwft_bench.models.finiteness import not_finite
from lwft_bench.models.sharded import own_rows
from lwft_bench.schema.rows import ChecksumRow
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.errors import Diverged
from lwft_bench.training.trace import Trace, checksum


class WeightChecksums:
    """Takes the checksums that the engagement verdict rests on."""

    def __init__(self, assembly: Assembly, trace: Trace) -> None:
        self._groups = assembly.groups
        self._ranks = assembly.ranks
        self._shards = assembly.shards
        self._trace = trace

    def record(self, step: int) -> None:
        """Adds those of all groups to the trace, after `step` steps."""
        groups = self._groups.all
        sums = torch.stack([checksum(g.tensors) for g in groups])
        self._shards.sum(sums)
        values = sums.tolist()
        self._ranks.require_same(f"the model after {step} steps", values)
        names = [group.name for group in groups]
        self._trace.checksums.append(
            ChecksumRow(step=step, groups=dict(zip(names, values, strict=True)))
        )

    def require_finite(self) -> None:
        """After the last step, whose weights no loss has seen.

        Raises:
            Diverged: A trained weight is NaN or infinite.
        """
        trained = {n: own_rows(p) for g in self._groups.all for n, p in g.parameters.items()}
        here = set(not_finite(trained.items()))
        flags = torch.tensor([int(name in here) for name in trained])
        self._shards.sum(flags)
        if broken := [name for name, count in zip(trained, flags.tolist(), strict=True) if count]:
            raise Diverged(f"weights are not finite after the last step: {broken[0]} first")

    def of_frozen(self) -> int | None:
        """Over the parameters in no group; None if every parameter is in one."""
        frozen = [own_rows(parameter) for parameter in self._groups.frozen.values()]
        if not frozen:
            return None
        value = checksum(frozen)
        self._shards.sum(value)
        return int(value)
