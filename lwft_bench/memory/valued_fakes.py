"""Fake tensors of models whose shapes depend on values: routers that gather each expert's tokens.

What follows from shapes and constants alone (positions, masks, counts) has its values here. What a
router chooses follows from weights, which are not there: in its place stands an even choice, the same
that `EvenChoices` puts into a step on real tensors, so that both need the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from lwft_bench.memory.fake_mode import RepeatingFakeMode

LARGEST = 2**26
"""Bytes of a tensor whose values are kept: 64 MiB."""

_aten = torch.ops.aten
CHOICES = {
    _aten.topk.default: 1,
    _aten.sort.default: 1,
    _aten.sort.stable: 1,
    _aten.argmax.default: None,
    _aten.argmin.default: None,
}
"""Operations that choose among numbers, and which of their results says what was chosen; None: the
only one."""
WITHOUT_VALUES = ("aten::empty", "aten::new_empty")
OF_SHAPE_ALONE = (
    "aten::zeros_like",
    "aten::ones_like",
    "aten::full_like",
    "aten::new_zeros",
    "aten::new_ones",
    "aten::new_full",
)

Call = Callable[..., Any]


class _Unknown(Exception):
    """An argument has no values."""


class _Value:
    """A tensor's values. valid: one cell for all views of a storage, emptied when what is not known is
    written into one of them.
    """

    __slots__ = ("tensor", "valid")

    def __init__(self, tensor: torch.Tensor, valid: list[bool]) -> None:
        self.tensor = tensor
        self.valid = valid


class ValuedFakeMode(RepeatingFakeMode):
    """A fake tensor mode that computes what follows from no weight, and chooses evenly for routers."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        values: tuple[Any, dict[str, Any]] | None = None
        with suppress(_Unknown):
            values = _values(tuple(args)), {key: _values(value) for key, value in kwargs.items()}
        asks = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
        if values is not None and any(tag in func.tags for tag in asks):
            return self._answered(func(*values[0], **values[1]))
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func._schema.is_mutable:
            self._write(func, args, kwargs, values)
        elif func in CHOICES and values is None:
            _choose_evenly(func, args, kwargs, result, _keep)
        elif func._schema.name == "aten::rand" and result.numel() == 1:
            # Whether to drop a layer, as some versions of transformers ask even where none is dropped.
            _keep(result, torch.full(tuple(result.shape), 0.5, dtype=result.dtype))
        elif _follows(func, values) and _fits(result):
            self._compute(func, args, kwargs, values, result)
        return result

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return func(*args, **kwargs)  # values follow each operation

    def _answered(self, value: Any) -> Any:
        """What the operation says, with tensors made fake."""
        if isinstance(value, (tuple, list)):
            return type(value)(self._answered(one) for one in value)
        if not isinstance(value, torch.Tensor):
            return value
        made = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
        fake = FakeTensor(self, made, value.device)
        _keep(fake, value)
        return fake

    def _compute(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        values: tuple[Any, dict[str, Any]] | None,
        result: Any,
    ) -> None:
        if values is None:  # the first argument counts for its shape alone
            like = torch.empty_strided(args[0].size(), args[0].stride(), dtype=args[0].dtype)
            values = (like, *args[1:]), dict(kwargs)
        shared = next((value for value in _fakes(args) if _aliases(result, value)), None)
        valid = _known(shared).valid if shared is not None else [True]
        _keep_all(result, func(*values[0], **values[1]), valid)

    def _write(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        values: tuple[Any, dict[str, Any]] | None,
    ) -> None:
        """In place on values too, or what is written to is known no longer."""
        if values is not None:
            func(*values[0], **values[1])
            return
        named = {argument.name: argument for argument in func._schema.arguments}
        given = dict(zip(named, args, strict=False)) | dict(kwargs)
        for name, value in given.items():
            if (info := named[name].alias_info) is not None and info.is_write:
                for tensor in _fakes([value]):
                    if (known := getattr(tensor, _NAME, None)) is not None:
                        known.valid[:] = [False]


class EvenChoices(TorchDispatchMode):
    """Real tensors, of which routers choose as those of `ValuedFakeMode` do."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in CHOICES and args[0].is_floating_point():
            _choose_evenly(func, args, kwargs or {}, result, torch.Tensor.copy_)
        return result


def _choose_evenly(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, put: Call
) -> None:
    """Gives the chosen indices values: by turns, as many of each as of any other."""
    part = CHOICES[func]
    chosen = result if part is None else result[part]
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | dict(kwargs)
    dim: int | None = given.get("dim", None if part is None else -1)
    of = given["self"]
    with torch.utils._python_dispatch._disable_current_modes():
        even = torch.empty_strided(chosen.size(), chosen.stride(), dtype=chosen.dtype)
        choices = of.numel() if dim is None else of.shape[dim] if of.dim() else 1
        turns = torch.arange(chosen.numel())
        if part is None or dim is None or not chosen.dim():
            turns = turns.view(chosen.shape)
        else:
            turns = turns.view(*_moved(chosen.shape, dim)).movedim(-1, dim)
        even.copy_(turns % max(choices, 1))
    put(chosen, even)


def _moved(shape: Sequence[int], dim: int) -> list[int]:
    """The shape with dimension `dim` last."""
    sizes = list(shape)
    sizes.append(sizes.pop(dim))
    return sizes


_NAME = "lwft_bench_value"


def _keep(fake: Any, value: torch.Tensor, valid: list[bool] | None = None) -> None:
    setattr(fake, _NAME, _Value(value, [True] if valid is None else valid))


def _keep_all(result: Any, values: Any, valid: list[bool]) -> None:
    if isinstance(result, torch.Tensor):
        _keep(result, values, valid)
    elif isinstance(result, (tuple, list)):
        for one, value in zip(result, values, strict=True):
            _keep_all(one, value, valid)


def _known(fake: Any) -> _Value:
    found = getattr(fake, _NAME, None)
    if not isinstance(found, _Value) or not found.valid[0]:
        raise _Unknown
    return found


def _values(given: Any) -> Any:
    """The same with values in place of fake tensors.

    Raises:
        _Unknown: One has none.
    """
    if isinstance(given, FakeTensor):
        return _known(given).tensor
    if isinstance(given, torch.Tensor):
        return given.detach().clone()  # a constant of the model's code
    if isinstance(given, (tuple, list)):
        return type(given)(map(_values, given))
    return given


def _fakes(given: Any) -> list[FakeTensor]:
    if isinstance(given, FakeTensor):
        return [given]
    if isinstance(given, (tuple, list)):
        return [fake for one in given for fake in _fakes(one)]
    return []


def _aliases(result: Any, fake: FakeTensor) -> bool:
    storage = fake.untyped_storage()._cdata
    return any(one.untyped_storage()._cdata == storage for one in _fakes(result))


def _follows(func: Any, values: object) -> bool:
    """Whether the result's values follow from those of arguments that have some."""
    name: str = func._schema.name
    if torch.Tag.nondeterministic_seeded in func.tags or name.startswith(WITHOUT_VALUES):
        return False
    return values is not None or name in OF_SHAPE_ALONE


def _fits(result: Any) -> bool:
    return all(fake.untyped_storage().nbytes() <= LARGEST for fake in _fakes(result))
