"""Operations that are looked up against torch's own fake tensors, and on what is kept of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lwft_bench.memory.fake_mode import RepeatingFakeMode

OPERATIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "new": lambda x: x @ x.t(),
    "of another dtype": lambda x: x.to(torch.bfloat16),
    "by an integer": lambda x: x.long() * 2,
    "by a float": lambda x: x.long() * 2.0,
    "view": lambda x: x[2:, 1:].transpose(0, 1),
    "reshaped": lambda x: x.t().reshape(-1),
    "in place": lambda x: x.mul_(2),
    "several": lambda x: torch.nn.functional.layer_norm(x, (6,)),
    "several views": lambda x: x.chunk(2)[1],
    "a list of views": lambda x: x.split([1, 3])[1] if len(x) == 4 else x,
    "of several": lambda x: torch.cat([x, x[:1]]),
    "of none": lambda x: torch.zeros(3, dtype=torch.int32),
    "attention": lambda x: torch.nn.functional.scaled_dot_product_attention(
        *[x.view(1, 2, 2, 6)] * 3, is_causal=True
    ),
}


def described(tensor: torch.Tensor, source: torch.Tensor) -> tuple[object, ...]:
    assert isinstance(tensor, FakeTensor)
    same_storage = tensor.untyped_storage() is source.untyped_storage()
    metadata = tensor.shape, tensor.stride(), tensor.dtype, tensor.storage_offset(), tensor.device
    return (*metadata, tensor is source, same_storage)


def results(mode: FakeTensorMode, operation: Callable[[torch.Tensor], Any]) -> list[object]:
    """Of the operation done twice, with another shape and another dtype between."""
    found = []
    with mode:
        for shape, dtype in [
            ((4, 6), torch.float32),
            ((8, 6), torch.float32),
            ((4, 6), torch.float64),
            ((4, 6), torch.float32),
        ]:
            if operation is OPERATIONS["attention"] and shape != (4, 6):
                continue
            source = torch.ones(shape, dtype=dtype)
            found.append(described(operation(source), source))
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_looked_up_is_what_torchs_mode_returns(name: str) -> None:
    operation = OPERATIONS[name]
    assert results(RepeatingFakeMode(), operation) == results(FakeTensorMode(), operation)


def test_operations_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = FakeTensorMode.__torch_dispatch__

    def counting(self: Any, func: Any, *rest: Any) -> Any:
        asked.append(func)
        return ask(self, func, *rest)

    monkeypatch.setattr(FakeTensorMode, "__torch_dispatch__", counting)
    with RepeatingFakeMode():
        x = torch.ones(4, 4)
        for _ in range(5):
            x @ x
    assert asked.count(torch.ops.aten.mm.default) == 1


def test_a_tensor_that_is_looked_up_has_all_that_torchs_has() -> None:
    with RepeatingFakeMode() as mode:
        x = torch.ones(4, 4)
        first, *_, last = [x @ x for _ in range(3)]
    plain = FakeTensor(mode, torch.empty(4, 4, device="meta"), torch.device("cpu"))
    assert vars(first) == vars(last) == vars(plain)
    assert vars(first) is not vars(last)
    for one in (first, last):
        assert type(one) is FakeTensor
        assert str(torch._C._dispatch_keys(one)) == str(torch._C._dispatch_keys(plain))
        assert not one.requires_grad


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_mode_within_calls_as_the_dispatcher_does(name: str) -> None:
    class Within(TorchDispatchMode):
        def __init__(self, call: Callable[..., Any] | None) -> None:
            super().__init__()
            self._call = call

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if self._call is None:
                return func(*args, **(kwargs or {}))
            return self._call(func, args, kwargs or {})

    def found(direct: bool) -> list[object]:
        mode = RepeatingFakeMode()
        with mode, Within(mode.call if direct else None):
            source = torch.ones(4, 6)
            return [described(OPERATIONS[name](source), source) for _ in range(3)]

    assert found(True) == found(False)


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_keeps_tensors_alive(name: str) -> None:
    """A tensor kept would be memory that no step has."""
    with RepeatingFakeMode():
        source = torch.ones(4, 6)
        result = OPERATIONS[name](source)
        alive = [weakref.ref(source), weakref.ref(result)]
        del source, result
        assert [ref() for ref in alive] == [None, None]


def test_data_is_not_made_up() -> None:
    with RepeatingFakeMode():
        flags = torch.ones(4) > 0
        for _ in range(2):
            with pytest.raises(Exception, match="nonzero|dynamic|data"):
                flags.nonzero()
