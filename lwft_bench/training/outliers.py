"""Outlying entries of |W| |X|: how many weights of a unit matter far more than its average one.

The importance of a weight W_ij is A_ij = |W_ij| * ||X_j||, X_j being the j-th input of its linear map
over calibration tokens (Wanda, arXiv 2306.11695; the share of outliers is OWL's, arXiv 2310.05175).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lwft_bench.data.batching import Batch
from lwft_bench.memory.chunks import CHUNK_ELEMENTS


class LinearMap:
    """A linear map's weight, and the mean square of each of its inputs over the tokens it saw."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        self.weight = weight.detach().T if isinstance(module, Conv1D) else weight.detach()
        """[outputs, inputs], a view"""
        self._squares = torch.zeros(
            self.weight.shape[1], dtype=torch.float64, device=self.weight.device
        )
        self._num_tokens = 0

    def see(self, inputs: torch.Tensor) -> None:
        """inputs: [tokens, inputs]. Summed in float32 within chunks, in float64 across them."""
        for chunk in inputs.split(max(1, CHUNK_ELEMENTS // inputs.shape[1])):
            self._squares += chunk.float().square().sum(0)
        self._num_tokens += len(inputs)

    def importances(self) -> Iterator[torch.Tensor]:
        """A, float32, some rows at a time."""
        norms = (self._squares / max(1, self._num_tokens)).sqrt().float()
        for chunk in self.weight.split(max(1, CHUNK_ELEMENTS // self.weight.shape[1])):
            yield chunk.abs().float().mul_(norms)


def linear_maps(model: nn.Module, weights: Iterable[nn.Parameter]) -> list[LinearMap]:
    """The linear modules whose weights are among the given ones."""
    wanted = {id(weight) for weight in weights}
    return [
        LinearMap(module)
        for module in model.modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) in wanted
    ]


@contextmanager
def watched(maps: Sequence[LinearMap], batch: Batch) -> Iterator[None]:
    """Inside, the maps see their inputs in forward passes over this batch, padding left out."""
    rows, length = batch.input_ids.shape
    real = torch.cat(
        [torch.arange(number) + row * length for row, number in enumerate(batch.lengths)]
    )

    def watch(linear: LinearMap) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def on_call(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            inputs = arguments[0].reshape(-1, arguments[0].shape[-1])
            # An expert of a mixture sees some of the tokens, and they are no longer in their places.
            everything = len(inputs) == rows * length
            linear.see(inputs[real.to(inputs.device)] if everything else inputs)

        return on_call

    handles = [linear.module.register_forward_pre_hook(watch(linear)) for linear in maps]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def outlier_share(maps: Sequence[LinearMap], tau: float) -> float:
    """100 times the share of entries of all the maps' A that exceed tau times their joint mean.

    A is made twice, a chunk of CHUNK_ELEMENTS at a time, and never held.
    """
    num_entries = sum(linear.weight.numel() for linear in maps)
    total = sum(float(chunk.sum()) for linear in maps for chunk in linear.importances())
    threshold = tau * total / num_entries
    above = sum(int((chunk > threshold).sum()) for linear in maps for chunk in linear.importances())
    return 100 * above / num_entries
