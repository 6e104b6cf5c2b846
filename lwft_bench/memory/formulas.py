"""Floating-point operations of single operators: torch's formulas, and those that it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

_aten = torch.ops.aten

Formula = Callable[..., int]
"""Operations of a call, from its result and its arguments."""

PRODUCT_FREE_NAMESPACES = frozenset(("prim", "prims", "c10d", "_c10d_functional", "profiler"))

_NAMES_OF_PRODUCTS = re.compile(
    r"""(^|_)(
        \w*mm | mv | addmv | addr | ger | dot | vdot | kron | \w*matmul\w* | gemm\w* | gemv\w*
      | \w*attention\w* | sdpa | conv\d?d? | \w*convolution\w* | linear | bilinear | trilinear
      | einsum | tensordot | lstm\w* | gru\w* | rnn\w* | cdist | fft_\w+ | stft
      | svd\w* | qr | geqrf | ormqr | eig\w* | lstsq | solve\w* | cholesky\w* | inv | inverse
      | pinv | lu | ldl | matrix_exp | matrix_power
    )(_|$)""",
    re.VERBOSE,
)
"""Of operators that multiply matrices or decompose them."""


@cache
def formula_of(operator: Any) -> Formula | None:
    """The formula of an operator (`torch._ops.OpOverload`); None if nobody knows one."""
    packet = operator._overloadpacket
    if (own := _OWN.get(packet)) is not None:
        return own
    return _registered(packet)


@cache
def multiplies_matrices(operator: Any) -> bool:
    """Whether an operator without a formula may do what would have to be counted.

    Of torch's own, told by the name; of any other library's, taken to be so, since nothing is known
    of it, unless it is one of those that only move or quantise (`_HARMLESS`).
    """
    namespace, _, name = operator._schema.name.partition("::")
    if namespace in PRODUCT_FREE_NAMESPACES or name in _HARMLESS:
        return False
    return namespace != "aten" or _NAMES_OF_PRODUCTS.search(name) is not None


_HARMLESS = frozenset(
    (
        "dequantize_4bit",
        "quantize_4bit",
        "dequantize_blockwise",
        "quantize_blockwise",
        "optimizer_update_8bit_blockwise",
        "optimizer_update_32bit",
    )
)
"""Of bitsandbytes: element by element."""


def _registered(packet: Any) -> Formula | None:
    if (of_library := _OF_LIBRARIES.get(packet._qualified_op_name)) is not None:
        return of_library
    found = flop_registry.get(packet)
    if found is None:
        return None

    def formula(result: Any, *args: Any, **kwargs: Any) -> int:
        return int(found(*args, **kwargs, out_val=result))

    return formula


def _mm(left: torch.Tensor, right: torch.Tensor) -> int:
    """[.., M, K] @ [.., K, N], a batch of them if there is one."""
    return 2 * prod(left.shape) * int(right.shape[-1])


def _product(result: Any, left: torch.Tensor, right: torch.Tensor, *_: Any, **__: Any) -> int:
    return _mm(left, right)


def _after_addend(
    result: Any, addend: Any, left: torch.Tensor, right: torch.Tensor, *_: Any, **__: Any
) -> int:
    return _mm(left, right)


def _matrix_by_vector(result: Any, matrix: torch.Tensor, vector: torch.Tensor, **_: Any) -> int:
    return 2 * prod(matrix.shape)


def _grouped_mm(result: Any, left: torch.Tensor, right: torch.Tensor, *_: Any, **__: Any) -> int:
    """A product for each group (expert): rows, columns or the inner dimension are cut by offsets.

    All rows are taken to belong to some group. Where both operands have a group's dimension it is
    in the product once.
    """
    inner = int(left.shape[-1])
    groups = int(left.shape[0]) if left.dim() == right.dim() == 3 else 1
    return 2 * groups * int(left.shape[-2]) * inner * int(right.shape[-1])


def _both_gradients_of_grouped_mm(
    result: Any, left: torch.Tensor, right: torch.Tensor, *_: Any, **__: Any
) -> int:
    return 2 * _grouped_mm(None, left, right)


def _attention(result: Any, *args: Any, **_: Any) -> int:
    return _of_shapes(sdpa_flop_count, *_shapes(args[:3]))


def _attention_backward(result: Any, *args: Any, **_: Any) -> int:
    return _of_shapes(sdpa_backward_flop_count, *_shapes(args[:4]))


@lru_cache(maxsize=4096)
def _of_shapes(formula: Formula, *shapes: torch.Size) -> int:
    """By a formula of torch, which takes longer than the operation's dry run: packed rows ask it for
    every sequence of every layer.
    """
    return int(formula(*shapes))


def _shapes(tensors: Sequence[torch.Tensor]) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors]


_OWN: dict[Any, Formula] = {
    _aten.mm: _product,
    _aten.bmm: _product,
    _aten.addmm: _after_addend,
    _aten.baddbmm: _after_addend,
    _aten.addmm_: _after_addend,
    _aten.baddbmm_: _after_addend,
    _aten.addbmm: _after_addend,
    _aten.addbmm_: _after_addend,
    _aten.mv: _matrix_by_vector,
    _aten.addmv: lambda result, addend, *args, **_: _matrix_by_vector(result, *args[:2]),
    _aten.addmv_: lambda result, addend, *args, **_: _matrix_by_vector(result, *args[:2]),
    _aten.dot: lambda result, left, right, **_: 2 * left.numel(),
    _aten.vdot: lambda result, left, right, **_: 2 * left.numel(),
    _aten.addr: lambda result, addend, left, right, **_: 2 * left.numel() * right.numel(),
    _aten.addr_: lambda result, addend, left, right, **_: 2 * left.numel() * right.numel(),
    _aten.linalg_solve_triangular: lambda result, matrix, *_, **__: (
        result.numel() * matrix.shape[-1]
    ),
    _aten._int_mm: _product,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten._scaled_dot_product_fused_attention_overrideable: _attention,
    _aten._scaled_dot_product_fused_attention_overrideable_backward: _attention_backward,
}
"""What torch 2.13's registry lacks: products in place, of vectors, of experts, triangular systems (for
each element of the solution a product with a row, half of which is empty), and the attention kernels
of the CPU and of other devices, counted as torch counts those of CUDA: all pairs of tokens,
masked or not; in the backward pass the scores again and four gradients. And torch's own products, of
which a step has so many that looking for tensors in their arguments takes longer than the formula."""

for _name in ("_grouped_mm", "_scaled_grouped_mm"):
    if hasattr(_aten, _name):  # newer than the oldest torch that is supported
        _OWN[getattr(_aten, _name)] = _grouped_mm

_OF_LIBRARIES: dict[str, Formula] = {
    "transformers::grouped_mm_fallback": _grouped_mm,
    "transformers::grouped_mm_fallback_backward": _both_gradients_of_grouped_mm,
}
"""By name, which a library registers when it is imported: transformers' own product of experts, where
torch has none."""
