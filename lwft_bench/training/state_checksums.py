"""Whether optimizer state outlives the periods in which its group is not trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from lwft_bench.state.store import StateStore
from lwft_bench.training.groups import Group
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.trace import checksum

SAMPLE_ELEMENTS = 2**16
"""Looked at of each of a bucket's fields: enough to see state that was lost, at no cost."""


def state_checksums(
    store: StateStore, groups: Iterable[Group], shards: Ranks = ALONE
) -> dict[str, int]:
    """By group: a checksum over samples of its state; 0 where there is none or all of it is zero.

    Args:
        shards: The ranks that share it out, which ask together; without them, of what is here.
    """
    samples: dict[str, list[torch.Tensor]] = {group.name: [] for group in groups}
    for name, tensor in store.state_tensors(samples).items():
        samples[name.partition("/")[0]].append(tensor.reshape(-1)[:SAMPLE_ELEMENTS])
    sums = [int(checksum(tensors)) if tensors else 0 for tensors in samples.values()]
    if shards.world > 1:
        everywhere = torch.tensor(sums, dtype=torch.int64)
        shards.sum(everywhere)
        sums = everywhere.tolist()
    return dict(zip(samples, sums, strict=True))
