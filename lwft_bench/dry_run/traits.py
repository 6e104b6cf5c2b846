"""A model's traits, found by one forward and backward pass on fake tensors.

Plans and runs both ask here, so that what is planned is what runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from lwft_bench.data.masks import unmasked
from lwft_bench.memory.fake import fake_model
from lwft_bench.memory.fake_mode import NOT_TRACEABLE, RepeatingFakeMode
from lwft_bench.memory.valued_fakes import ValuedFakeMode
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import described
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.loss import head_is_linear
from lwft_bench.training.traits import Traits

_ROWS = 2


def traits_of(cell: Cell, length: int) -> Traits:
    """The traits of a cell's adapted model, on rows of `length` tokens.

    The length matters: parts that compress the past have nothing to do in rows too short for it.

    Raises:
        UserError: The model cannot be built, or the adapter does not fit it.
    """
    training = cell.training.model_dump(mode="json", include={"precision", "attention", "dropout"})
    relevant = {
        "length": length,
        "model": cell.model.model_dump(mode="json"),
        "adapter": cell.method.adapter.model_dump(mode="json"),
        "training": training,
    }
    _cells[key := json.dumps(relevant, sort_keys=True)] = cell
    try:
        return _traced(key, length)
    finally:
        del _cells[key]


_cells: dict[str, Cell] = {}
"""The cell that is asked about, by what of it matters."""


@lru_cache(maxsize=32)
def _traced(key: str, length: int) -> Traits:
    problem, attention = "", None
    for even_choices in (False, True):
        _, model = empty_adapted_model(_cells[key])
        config: Any = getattr(model, "config", None)
        attention = getattr(config, "_attn_implementation", None)
        mode = fake_mode(even_choices)
        fake_model(model, mode)
        model.train()
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        try:
            with mode:
                own_logits = _alters_logits(model, length)
        except Exception as error:  # whatever a model's code does that means nothing without values
            problem = _problem(error, length)
            continue
        missing = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
        return Traits(own_logits, frozenset(missing), attention, even_choices)
    return Traits(True, attention=attention, problem=problem)


def fake_mode(even_choices: bool) -> RepeatingFakeMode:
    """The fake tensors that a model's steps are planned on."""
    return ValuedFakeMode() if even_choices else RepeatingFakeMode()


def _problem(error: Exception, length: int) -> str:
    told = " ".join(described(error).split())
    if isinstance(error, NOT_TRACEABLE):
        return f"its operations depend on values ({told})"
    return f"its own code fails on {_ROWS} rows of {length} tokens ({told})"


def _alters_logits(model: nn.Module, length: int) -> bool:
    """Whether the logits are other than the head's output; leaves the gradients of their sum."""
    head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    ids = torch.zeros(_ROWS, length, dtype=torch.int64)
    with unmasked(), _watched(head) as calls:
        logits = model(input_ids=ids, use_cache=False).logits
    logits.float().sum().backward()
    if not head_is_linear(head) or len(calls) != 1:
        return True
    hidden, output, version = calls[0]
    if hidden.shape[:2] != (_ROWS, length) or hidden.dim() != 3:
        return True
    return (
        logits.untyped_storage()._cdata != output.untyped_storage()._cdata
        or logits.shape != output.shape
        or logits.stride() != output.stride()
        or output._version != version
    )


@contextmanager
def _watched(head: nn.Module) -> Iterator[list[tuple[torch.Tensor, torch.Tensor, int]]]:
    """Records the inputs of the head, its outputs, and how often these were written to by then.

    The outputs are in float32, so that a model which converts its logits does nothing to them.
    """
    calls: list[tuple[torch.Tensor, torch.Tensor, int]] = []
    forward = head.forward

    def watched(hidden: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = forward(hidden).float()
        calls.append((hidden, output, output._version))
        return output

    head.forward = watched
    try:
        yield calls
    finally:
        del head.forward
