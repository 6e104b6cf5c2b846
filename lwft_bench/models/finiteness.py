"""Whether weights are numbers at all."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from lwft_bench.memory.chunks import CHUNK_ELEMENTS


def not_finite(named_tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Names of the tensors that hold a NaN or an infinity, in the order given.

    Looks at everything, a chunk at a time, and waits for the device once.
    """
    names, found = [], []
    for name, tensor in named_tensors:
        if not tensor.is_floating_point():
            continue
        flat = tensor.detach().reshape(-1)
        finite = torch.ones((), dtype=torch.bool, device=flat.device)
        for chunk in flat.split(CHUNK_ELEMENTS):
            finite &= torch.isfinite(chunk).all()
        names.append(name)
        found.append(finite)
    if not found:
        return []
    device = found[0].device
    finite_flags = torch.stack([flag.to(device) for flag in found]).tolist()
    return [name for name, finite in zip(names, finite_flags, strict=True) if not finite]
