"""Combinations of a cell's settings that make no sense, though each is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lwft_bench.optimizers.base import PRECISIONS_OF_ELEMENTS
from lwft_bench.plugins.registry import optimizers, strategies
from lwft_bench.schema.cell import TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.problems import Problem, validate
from lwft_bench.schema.units import ChunkUnits
from lwft_bench.suites.changes import Method
from lwft_bench.suites.settings import Settings


def impossible(
    method: MethodConfig, training: TrainingConfig, point: Method, settings: Settings
) -> Iterator[Problem]:
    """Combinations that make no sense, though each part is valid. Each says which method it is of."""
    for problem in _of_method(method, training, point, settings):
        yield replace(problem, text=f"method {method.name}: {problem.text}")


def _of_method(
    method: MethodConfig, training: TrainingConfig, point: Method, settings: Settings
) -> Iterator[Problem]:
    strategy, adapter = (point.components[section] for section in ("strategy", "adapter"))
    needs = strategies.build(method.strategy).needs
    if needs.suppress and not adapter.can_suppress:
        yield Problem(
            *settings.locate(("adapter",)),
            f"strategy {method.strategy.name!r} measures the loss with units suppressed, which "
            f"adapter {method.adapter.name!r} cannot do; expected one that adds to frozen weights, "
            "e.g. lora",
        )
    if strategy.may_be_empty and not method.always_train:
        yield Problem(
            *settings.locate(("always_train",)),
            f"strategy {method.strategy.name!r} selects no unit, so that nothing would train; "
            "expected parts, e.g. [embed, final_norm, head]",
        )
    if method.unselected is not None:
        yield from _impossible_unselected(method, training, settings)
    if training.steps == 0:
        yield Problem(
            *settings.locate(("training", "steps")),
            "expected at least 1, found 0: the untrained model is the method base",
        )
    if training.sharded is not None:
        yield from _impossible_sharded(method, training, point, settings)
    if training.compile and not {"layers", "embed", "head"}.issuperset(method.unit_kinds or ("",)):
        yield Problem(
            *settings.locate(("training", "compile")),
            "a layer is compiled for all of its parameters or none of them training, and these units "
            "train parts of layers: every other part would be compiled anew; expected false, or units "
            "of whole layers",
        )
    kind = point.components["optimizer"].kind
    if kind != "elementwise" and isinstance(method.units, ChunkUnits):
        yield Problem(
            *settings.locate(("units",)),
            f"chunks cut tensors, and the state of optimizer {method.optimizer.name!r} is {kind}; "
            "expected an elementwise one, e.g. adamw",
        )
    if kind != "elementwise" and training.precision in PRECISIONS_OF_ELEMENTS:
        yield Problem(
            *settings.locate(("training", "precision")),
            f"{training.precision} works on single elements, and the state of optimizer "
            f"{method.optimizer.name!r} is {kind}; expected float32 or bf16",
        )
    if kind != "elementwise" and training.state_dtype is not None:
        yield Problem(
            *settings.locate(("training", "state_dtype")),
            f"{training.state_dtype} moments are for optimizers that work on single elements, and the "
            f"state of optimizer {method.optimizer.name!r} is {kind}; expected none given (null)",
        )


def _impossible_sharded(
    method: MethodConfig, training: TrainingConfig, point: Method, settings: Settings
) -> Iterator[Problem]:
    """What a process cannot do that has some rows of each tensor."""
    place = settings.locate(("training", "sharded"))
    kind, processes = point.components["optimizer"].kind, training.sharded or 0
    found = [
        (
            method.adapter.name != "full",
            f"adapter {method.adapter.name!r}",
            "adapter full, or no `sharded`: then each process holds the frozen weights whole",
        ),
        (
            kind != "elementwise",
            f"optimizer {method.optimizer.name!r}, whose state is {kind}: it belongs to whole matrices "
            "or fixed blocks",
            "an elementwise one, e.g. adamw",
        ),
        (
            isinstance(method.units, ChunkUnits),
            "units that are chunks, which cut tensors into other rows",
            "units such as layers, modules or tensors",
        ),
        (training.batching == "packed", "batching: packed", "padded or by_length"),
        (training.compile, "compile, which has not been tried", "false"),
        (training.kernels != "torch", f"kernels: {training.kernels}, untried", "torch"),
        (
            training.max_tokens is not None,
            "max_tokens, with which processes would have unequal numbers of micro-batches",
            "micro_batch_size",
        ),
        (
            training.update == "in_backward",
            "update: in_backward, as weights would change in torch's own queue",
            "after_backward: gradients are shared out too",
        ),
        (
            training.batch_size < processes,
            f"a batch_size of {training.batch_size}, of which each process needs a sequence",
            f"a batch_size of at least {processes}, or fewer processes",
        ),
    ]
    for refused, what, expected in found:
        if refused:
            yield Problem(
                *place,
                f"weights that {processes} processes share out do not go with {what}; "
                f"expected {expected}",
            )


def _impossible_unselected(
    method: MethodConfig, training: TrainingConfig, settings: Settings
) -> Iterator[Problem]:
    assert method.unselected is not None
    named = method.unselected.optimizer
    place = settings.locate(("unselected",))
    try:
        rule = optimizers.get(named.name)
    except UserError as error:
        yield Problem(*place, error.message, error.hint)
        return
    noun = f"option of optimizer {named.name!r}"
    _, problems = validate(rule.Options, named.options, lambda _: place, noun)
    yield from problems
    if not rule.stateless:
        yield Problem(
            *place,
            f"optimizer {named.name!r} has state, and units that are not selected have none; expected "
            "sgd or sign",
        )
    if training.precision == "bf16-master" and method.state_policy == "keep":
        yield Problem(
            *place,
            "with bf16-master and state_policy keep, the float32 copies that are kept would undo what "
            "unselected units did meanwhile; expected state_policy reset or restart",
        )
