"""A linear map whose weights are kept in four bits, by bitsandbytes' kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lwft_bench.plugins.extras import import_extra

_BLOCK = 64
"""Weights that share one scale."""
SCALES_BLOCK = 256
"""Scales that share one scale, with double quantisation."""


class Linear4bit(nn.Linear):
    """y = W x + b, with W as NF4 codes in buffers; frozen.

    Not bitsandbytes' own module: on CPUs with AVX-512 BF16 that one (0.50.2) repacks its weights at the
    first evaluation and passes no gradient on from then, and its parameters cannot be fake tensors.
    The codes and what is computed are the same.
    """

    weight: torch.Tensor
    absmax: torch.Tensor

    def __init__(self, linear: nn.Linear, *, nested: bool) -> None:
        """Quantises the weights of `linear`. nested: double quantisation."""
        nn.Module.__init__(self)
        self._functional = import_extra("bitsandbytes.functional", "qlora")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = linear.weight.dtype
        self.nested = nested
        with torch.device("cpu"):
            # bitsandbytes keeps the first table it makes for all that come: one with values in it,
            # though the first weights to come have none (on the meta device, for a plan).
            tables = self._functional.name2qmap
            tables.setdefault("dynamic", self._functional.create_dynamic_map())
            codes, state = self._functional.quantize_4bit(
                linear.weight.detach(),
                blocksize=_BLOCK,
                compress_statistics=nested,
                quant_type="nf4",
            )
        self.register_buffer("weight", codes)
        self.register_buffer("absmax", state.absmax)
        if nested:
            self.register_buffer("absmax_offset", state.offset)
            self.register_buffer("absmax_scales", state.state2.absmax)
            self.register_buffer("absmax_codes", state.state2.code)
        self.register_parameter("bias", linear.bias)

    def dequantised(self) -> torch.Tensor:
        """W in the dtype it had, [out_features, in_features]."""
        states: Any = self._functional.QuantState
        inner = None
        if self.nested:
            inner = states(
                absmax=self.absmax_scales,
                code=self.absmax_codes,
                blocksize=SCALES_BLOCK,
                dtype=torch.float32,
            )
        state = states(
            absmax=self.absmax,
            shape=torch.Size((self.out_features, self.in_features)),
            dtype=self.dtype,
            blocksize=_BLOCK,
            quant_type="nf4",
            offset=self.absmax_offset if self.nested else None,
            state2=inner,
        )
        weight: torch.Tensor = self._functional.dequantize_4bit(self.weight, state)
        return weight

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = _Product.apply(input, self)
        return product if self.bias is None else product + self.bias


class _Product(torch.autograd.Function):
    """Dequantises again in the backward pass: only codes are kept until then."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, linear: Linear4bit) -> torch.Tensor:
        ctx.linear = linear
        return nn.functional.linear(input, linear.dequantised())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.linear.dequantised(), None
