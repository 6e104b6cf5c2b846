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
from torch.overrides import TorchFunctionMode
from transformers.pytorch_utils import Conv1D

from lwft_bench.data.batching import Batch
from lwft_bench.memory.chunks import CHUNK_ELEMENTS
from lwft_bench.models.sharded import made_whole


class LinearMap:
    """A linear map's weight, and the mean square of each of its inputs over the tokens it saw.

    module: None for an expert that is fused with others into one tensor; which of its sides is that
    of the inputs shows when it is used.
    """

    def __init__(self, weight: torch.Tensor, module: nn.Module | None = None) -> None:
        self.module = module
        self.weight = weight.detach().T if isinstance(module, Conv1D) else weight.detach()
        """[outputs, inputs], a view"""
        self._squares: torch.Tensor | None = None
        self._num_tokens = 0

    def see(self, inputs: torch.Tensor) -> None:
        """inputs: [tokens, inputs]. Summed in float32 within chunks, in float64 across them."""
        if self._squares is None:
            size, device = inputs.shape[1], inputs.device
            self._squares = torch.zeros(size, dtype=torch.float64, device=device)
        for chunk in inputs.split(max(1, CHUNK_ELEMENTS // inputs.shape[1])):
            self._squares += chunk.float().square().sum(0)
        self._num_tokens += len(inputs)

    def importances(self) -> Iterator[torch.Tensor]:
        """A, float32, some rows at a time. A weight that is shared out is whole meanwhile."""
        if self._squares is None:  # it saw nothing: no entry matters
            norms = torch.zeros(self.weight.shape[1], device=self.weight.device)
        else:
            norms = (self._squares / max(1, self._num_tokens)).sqrt().float()
        for chunk in made_whole(self.weight).split(max(1, CHUNK_ELEMENTS // self.weight.shape[1])):
            yield chunk.abs().float().mul_(norms)


def linear_maps(model: nn.Module, weights: Iterable[nn.Parameter]) -> list[LinearMap]:
    """The linear modules and the fused experts whose weights are among the given ones."""
    wanted = {id(weight) for weight in weights}
    found = []
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            if id(module.weight) in wanted:
                found.append(LinearMap(module.weight, module))
        elif not isinstance(module, FILTERS):
            for weight in module.parameters(recurse=False):
                if weight.dim() == 3 and id(weight) in wanted and weight.is_floating_point():
                    found += [LinearMap(expert) for expert in weight.detach().unbind()]
    return found


FILTERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Their weights have three dimensions or more, too."""


class _Experts(TorchFunctionMode):
    """Shows fused experts what they are multiplied with, by whatever product."""

    def __init__(self, maps: Sequence[LinearMap]) -> None:
        super().__init__()
        self._maps = {linear.weight.data_ptr(): linear for linear in maps}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in PRODUCTS and len(args) > 1 and isinstance(args[1], torch.Tensor):
            inputs, weight = args[0], args[1]
            if weight.dim() == 2:
                self._show(weight.T if name == "linear" else weight, inputs)
            elif weight.dim() == 3 and weight.data_ptr() in self._maps:
                offsets = (kwargs or {}).get("offs", args[2] if len(args) > 2 else None)
                for expert, rows in zip(weight, _rows(inputs, offsets), strict=True):
                    self._show(expert, rows)
        return func(*args, **(kwargs or {}))

    def _show(self, weight: torch.Tensor, inputs: torch.Tensor) -> None:
        """weight: [inputs, outputs]."""
        linear = self._maps.get(weight.data_ptr())
        if linear is not None and inputs.numel():
            linear.weight = weight.detach().T
            linear.see(inputs.detach().reshape(-1, inputs.shape[-1]))


PRODUCTS = ("linear", "matmul", "__matmul__", "mm", "bmm", "grouped_mm", "_grouped_mm")


def _rows(inputs: torch.Tensor, offsets: torch.Tensor | None) -> Sequence[torch.Tensor]:
    """The inputs of each expert: [experts, rows, inputs], or [rows, inputs] cut at the offsets."""
    if inputs.dim() == 3:
        return inputs.unbind()
    assert offsets is not None
    return inputs[: int(offsets[-1])].tensor_split(offsets[:-1].cpu().long())


@contextmanager
def watched(maps: Sequence[LinearMap], batch: Batch) -> Iterator[None]:
    """Inside, the maps see their inputs in forward passes over this batch, padding left out."""
    rows, length = batch.input_ids.shape
    real = torch.cat(
        [torch.arange(number) + row * length for row, number in enumerate(batch.lengths)]
        if batch.packing is None
        else [torch.arange(length)]
    )

    def watch(linear: LinearMap) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def on_call(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            inputs = arguments[0].reshape(-1, arguments[0].shape[-1])
            # An expert of a mixture sees some of the tokens, and they are no longer in their places.
            everything = len(inputs) == rows * length
            linear.see(inputs[real.to(inputs.device)] if everything else inputs)

        return on_call

    handles = [
        linear.module.register_forward_pre_hook(watch(linear)) for linear in maps if linear.module
    ]
    try:
        with _Experts([linear for linear in maps if linear.module is None]):
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
