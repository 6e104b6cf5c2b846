"""Layers are compiled before training, so that no selection has to."""

from __future__ import annotations

from collections.abc import Sequence

from lwft_bench.data.batching import Batch
from lwft_bench.models.parts import find_parts
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.batch_steps import BatchSteps


def compile_ahead(assembly: Assembly, batches: Sequence[Batch]) -> None:
    """Compiles what any selection of whole layers may need, so that a later one compiles nothing.

    A layer is compiled once for each way in which gradients pass it: whether it trains, and whether
    anything below it does. The steps of this change nothing.
    """
    groups, step = assembly.groups, assembly.step
    num_layers = len(find_parts(assembly.model).layers)
    in_layers = [group for group in groups.units if 0 <= group.depth < num_layers]
    steps = BatchSteps(assembly, lambda event: None)
    for chosen in (in_layers, in_layers[:1], in_layers[-1:]):
        step.activate([*chosen, *groups.always])
        steps.preflight(batches)
    step.activate([])
