"""A fake tensor mode for steps that do the same operations again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)

from lwft_bench.memory.modes import UncompiledMode

NOT_TRACEABLE = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
)
"""What is raised where shapes or branches depend on values."""

GROUPED_PRODUCT = getattr(getattr(torch.ops.aten, "_grouped_mm", None), "default", None)
"""The product of mixtures of experts; older versions of torch have none."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A tensor of these sizes and strides: a new one, or a view of an argument."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    offset: int
    viewed: int | None
    """Position of the argument whose storage it has."""


@dataclass(frozen=True, slots=True)
class _Argument:
    """The argument at this position itself: what an operation in place returns."""

    position: int


_Result = _Made | _Argument | None
_Results = _Result | tuple[_Result, ...] | list[_Result]


class _Irregular(Exception):
    """What the operation returns does not follow from shapes and numbers alone."""


class RepeatingFakeMode(UncompiledMode, FakeTensorMode):
    """Looks up what an operation returned for arguments alike, and else asks torch's own mode.

    A model's layers are alike and steps are many, so nearly all operations are repetitions. torch's
    cache of them costs more than everything else in a plan: its key covers symbolic shapes, sparse
    tensors and tracing, none of which is here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache_enabled = False  # torch's own
        self._known: dict[Any, _Results] = {}
        self._irregular: set[Any] = set()
        self._attributes: dict[torch.device, dict[str, Any] | None] = {}
        """Of every fake tensor on a device; None: they are not all the same."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is GROUPED_PRODUCT:
            return self._grouped_product(*args, **kwargs)
        key = _call_key(func, args, kwargs)
        if key is None or key in self._irregular:
            return super().__torch_dispatch__(func, types, args, kwargs)
        if key in self._known:
            return self._repeated(self._known[key], args)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        try:
            self._known[key] = _described(result, args)
        except _Irregular:  # not kept: its traceback would keep the tensors alive
            self._irregular.add(key)
        return result

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func(*args, **kwargs)` returns inside this mode, for a mode within it to call: what was
        seen before is looked up at once, where torch would go round by its dispatcher.
        """
        key = _call_key(func, args, kwargs)
        if key is None or key not in self._known:
            return func(*args, **kwargs)
        with torch._C._DisableTorchDispatch():
            return self._repeated(self._known[key], args)

    def _repeated(self, known: _Results, args: Sequence[Any]) -> Any:
        if isinstance(known, (tuple, list)):
            return type(known)(self._again(one, args) for one in known)
        return self._again(known, args)

    def _grouped_product(
        self,
        left: Any,
        right: Any,
        offs: Any = None,
        bias: Any = None,
        out_dtype: torch.dtype | None = None,
    ) -> FakeTensor:
        """What the kernels return in every dtype: rows that begin at multiples of 16 bytes.

        torch's own function takes bfloat16 alone, and pads rows only in builds with CUDA.
        """
        groups = () if left.dim() == right.dim() == 3 else (offs.shape[0],)
        size = {
            (2, 2): (*groups, left.shape[0], right.shape[-1]),
            (2, 3): (left.shape[0], right.shape[-1]),
            (3, 2): (left.shape[-2], right.shape[-1]),
            (3, 3): (*left.shape[:2], right.shape[-1]),
        }[left.dim(), right.dim()]
        dtype = out_dtype or left.dtype
        aligned = 16 // dtype.itemsize
        row = -(-size[-1] // aligned) * aligned
        stride = (size[1] * row, row, 1) if len(size) == 3 else (row, 1)
        made = torch.empty_strided(size, stride, dtype=dtype, device="meta")
        return FakeTensor(self, made, left.fake_device)

    def _again(self, known: _Result, args: Sequence[Any]) -> Any:
        if known is None:
            return None
        if isinstance(known, _Argument):
            return args[known.position]
        made = torch.empty_strided(known.size, known.stride, dtype=known.dtype, device="meta")
        if known.viewed is not None:
            storage = args[known.viewed].untyped_storage()
            made.set_(storage, known.offset, known.size, known.stride)
        return self._fake(made, known.device)

    def _fake(self, made: torch.Tensor, device: torch.device) -> FakeTensor:
        """A fake tensor as its class makes it. That takes long for the attributes that it sets, all of
        which are the same in every fake tensor on a device: they are copied, if two say so.
        """
        if device not in self._attributes:
            first, second = (
                vars(FakeTensor(self, torch.empty(size, device="meta"), device)) for size in (1, 2)
            )
            self._attributes[device] = first if first == second else None
        if (attributes := self._attributes[device]) is None:
            return FakeTensor(self, made, device)
        fake: FakeTensor = torch.Tensor._make_subclass(
            FakeTensor, made, False, dispatch_device=True, device_for_backend_keys=device
        )
        if self._allow_unsafe_data_ptr_access:
            torch._C._set_warn_deprecated_on_mutable_data_ptr(fake)
        else:
            torch._C._set_throw_on_mutable_data_ptr(fake)
        vars(fake).update(attributes)
        return fake


def _call_key(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Equal for calls that return alike; None where that does not follow from shapes and numbers."""
    try:
        key = id(func), _key(args), _key(kwargs.items()) if kwargs else ()
        hash(key)
    except (_Irregular, TypeError):  # TypeError: an argument cannot be hashed
        return None
    return key


def _key(values: Any) -> tuple[Any, ...]:
    """Equal for arguments that an operation cannot tell apart."""
    key: list[Any] = []
    for value in values:
        if type(value) is FakeTensor:
            if value.constant is not None or value.dtype.is_complex:
                raise _Irregular
            key.append(
                (
                    value.shape,
                    value.stride(),
                    value.dtype,
                    value.storage_offset(),
                    value.fake_device,
                )
            )
        elif isinstance(value, torch.Tensor):
            raise _Irregular
        elif isinstance(value, (list, tuple)):
            key.append((type(value), _key(value)))
        else:
            key.append((type(value), value))  # 1 and 1.0 are equal, and give other dtypes
    return tuple(key)


def _described(result: Any, args: Sequence[Any]) -> _Results:
    if type(result) in (tuple, list):
        return type(result)(_described_one(one, args) for one in result)
    return _described_one(result, args)


def _described_one(result: Any, args: Sequence[Any]) -> _Result:
    if result is None:
        return None
    for position, argument in enumerate(args):
        if argument is result:
            return _Argument(position)
    if type(result) is not FakeTensor or result.constant is not None or result.dtype.is_complex:
        raise _Irregular
    storage = result.untyped_storage()
    viewed = None
    for position, argument in enumerate(args):
        if isinstance(argument, torch.Tensor) and argument.untyped_storage() is storage:
            viewed = position
            break
    return _Made(
        tuple(result.shape),
        result.stride(),
        result.dtype,
        result.fake_device,
        int(result.storage_offset()),
        viewed,
    )
