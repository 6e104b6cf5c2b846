"""What torch's fully_shard holds of a model on one of several processes, on fake tensors of one process.

The model's own parameters are nowhere; storages of the right sizes come and go in their place as they do
in torch (2.13): each process's rows, what is gathered for a layer, gradients before and after they are
summed. Not there: what streams of an accelerator keep for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
from torch import nn

from lwft_bench.memory.accounting import ELSEWHERE, MemoryAccount
from lwft_bench.models.parts import find_parts
from lwft_bench.models.sharded import PRETENDED
from lwft_bench.training.step import TrainingStep

GATHERED = "gathered"
"""Component of what is there of other processes' rows, and of buffers to send and receive."""


class _Gatherable:
    """A layer, or the root: parameters that are gathered together."""

    def __init__(self, parameters: Iterable[nn.Parameter], processes: int) -> None:
        self.parameters = list(parameters)
        self._processes = processes
        self.received: torch.Tensor | None = None
        self.whole: list[torch.Tensor] = []

    def padded(self, parameters: Iterable[nn.Parameter]) -> list[int]:
        """Elements of each with as many rows for every process."""
        return [self._processes * prod(self.share(parameter)) for parameter in parameters]

    def share(self, parameter: nn.Parameter) -> tuple[int, ...]:
        """The shape of what a process holds: the first one's, which is never the smaller."""
        rows, *rest = parameter.shape
        return -(-rows // self._processes), *rest


class PretendedShares:
    """Shares out a fake model; the account is told what is there, in `GATHERED` and other components."""

    def __init__(self, model: nn.Module, account: MemoryAccount, processes: int) -> None:
        self._account = account
        layers = find_parts(model).layers
        inside = {parameter for layer in layers for parameter in layer.parameters()}
        outside = [parameter for parameter in model.parameters() if parameter not in inside]
        self._root = _Gatherable(outside, processes)
        self._layers = [_Gatherable(layer.parameters(), processes) for layer in layers]
        self._kept: torch.Tensor | None = None
        """What was received for a module in a forward pass, until the next is there or the pass ends."""
        self._sent: torch.Tensor | None = None
        self._earlier: dict[nn.Parameter, torch.Tensor] = {}
        """This process's rows of gradients of the step's earlier micro-batches."""
        self._arrived: list[torch.Tensor] = []
        self._in_backward = False
        self._deliver: Callable[[torch.Tensor], None] = lambda parameter: None
        account.adopt(model.parameters(), ELSEWHERE)
        for module in (*self._layers, self._root):
            for parameter in module.parameters:
                setattr(
                    parameter, PRETENDED, self._new(module.share(parameter), parameter, "weights")
                )
        for number, layer in enumerate(layers):
            self._attach(layer, number)
        model.register_forward_pre_hook(self._before_forward)
        model.register_forward_hook(self._after_root)
        vars(model)["reshard"] = self._settle

    def stand_before(self, step: TrainingStep) -> None:
        """The step hears of gradients when they have been summed."""
        self._deliver, step.on_gradient = step.on_gradient, self._arrived.append

    def _before_forward(self, model: nn.Module, inputs: Any) -> None:
        for module in (*self._layers, self._root):
            for parameter in module.parameters:
                if hasattr(parameter.grad, PRETENDED):
                    self._earlier[parameter] = getattr(parameter.grad, PRETENDED)
                    parameter.grad = None
        self._gather(self._root)

    def _after_root(self, model: nn.Module, inputs: Any, output: Any) -> None:
        self._kept = None
        self._watch(output, self._before_root)

    def _attach(self, layer: nn.Module, number: int) -> None:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            self._layers[number].whole = []
            self._watch(output, lambda: self._before_layer(number))

        layer.register_forward_pre_hook(lambda *_: self._gather(self._layers[number]))
        layer.register_forward_hook(after)

    def _watch(self, output: Any, before: Callable[[], None]) -> None:
        """Has `before` called when a backward pass comes to the output."""
        values = output.values() if isinstance(output, dict) else output
        for value in (values,) if isinstance(values, torch.Tensor) else values:
            if isinstance(value, torch.Tensor) and value.requires_grad:
                value.register_hook(lambda gradient: before())

    def _gather(self, module: _Gatherable) -> None:
        """In a forward pass."""
        if module.whole:
            return
        self._receive(module)
        self._kept = None
        self._spread(module)
        self._kept, module.received = module.received, None

    def _receive(self, module: _Gatherable) -> None:
        if module.received is None and not module.whole:
            assert len({parameter.dtype for parameter in module.parameters}) == 1
            number = sum(module.padded(module.parameters))
            module.received = self._new((number,), module.parameters[0], GATHERED)

    def _spread(self, module: _Gatherable) -> None:
        if not module.whole:
            module.whole = [
                self._new((size,), parameter, GATHERED)
                for size, parameter in zip(
                    module.padded(module.parameters), module.parameters, strict=True
                )
            ]

    def _begin_backward(self) -> None:
        if not self._in_backward:
            self._in_backward = True
            engine: Any = torch.autograd.Variable._execution_engine
            engine.queue_callback(self._end_backward)

    def _before_root(self) -> None:
        self._begin_backward()
        if self._layers:
            self._receive(self._layers[-1])

    def _before_layer(self, number: int) -> None:
        self._begin_backward()
        layer = self._layers[number]
        for other in self._layers[number + 1 :]:
            self._finish(other)
        self._receive(layer)
        self._spread(layer)
        layer.received = None
        if number > 0:
            self._receive(self._layers[number - 1])

    def _finish(self, module: _Gatherable) -> None:
        """After its part of the backward pass: gradients are summed, and each process gets its rows."""
        module.whole = []
        found = [p for p in module.parameters if any(p is other for other in self._arrived)]
        self._arrived[:] = [p for p in self._arrived if not any(p is other for other in found)]
        if not found:
            return
        self._sent = None
        total = sum(module.padded(found))
        self._sent = self._new((total,), found[0], GATHERED)
        for parameter in found:
            assert parameter.grad is not None
            self._account.relabel(parameter.grad, ELSEWHERE)
        summed = [self._new(module.share(p), p, "gradients") for p in found]
        for parameter, rows in zip(found, summed, strict=True):
            setattr(parameter.grad, PRETENDED, self._earlier.pop(parameter, rows))
        del summed, rows
        for parameter in found:
            self._deliver(parameter)

    def _end_backward(self) -> None:
        for module in (*reversed(self._layers), self._root):
            self._finish(module)
            module.received = None
        self._sent = None
        self._in_backward = False

    def _settle(self) -> None:
        self._root.whole = []

    def _new(self, shape: tuple[int, ...], like: torch.Tensor, component: str) -> torch.Tensor:
        with torch.no_grad(), self._account.component(component):
            return torch.empty(shape, dtype=like.dtype)
