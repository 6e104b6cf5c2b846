"""Whether optimizer state outlives the periods in which its group is not trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from lwft_bench.state.store import StateStore
from lwft_bench.training.groups import Group
from lwft_bench.training.trace import checksum

SAMPLE_ELEMENTS = 2**16
"""Looked at of each of a bucket's fields: enough to see state that was lost, at no cost."""


def state_checksums(store: StateStore, groups: Iterable[Group]) -> dict[str, int]:
    """By group: a checksum over samples of its state; 0 where there is none or all of it is zero."""
    samples: dict[str, list[torch.Tensor]] = {group.name: [] for group in groups}
    for name, tensor in store.state_tensors(samples).items():
        samples[name.partition("/")[0]].append(tensor.reshape(-1)[:SAMPLE_ELEMENTS])
    return {name: int(checksum(tensors)) if tensors else 0 for name, tensors in samples.items()}
