"""Everything about a suite's cells that can be found out before the first of them starts.

Tokenizers and configs are loaded, the model is put together without weights, and all texts are
tokenised as the cells will. No weights are loaded; of their files only the headers are read. What
many cells have in common is checked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lwft_bench.schema.cell import Cell, ModelConfig, TaskConfig
from lwft_bench.schema.findings import Findings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lwft_bench.preflight.structure import Structure


SMALL_REACH = 0.5
"""Of the layers' weights; below it a person should know."""


def check_cells(cells: Sequence[Cell], *, weights: bool = True) -> Findings:
    """What is wrong with the cells, and what their user should know.

    weights: whether the weight files are looked at too; a model on the hub is fetched for that.
    """
    from lwft_bench.plugins.files import load_plugin

    findings = Findings()
    for plugin in {plugin: None for cell in cells for plugin in cell.plugins}:
        with findings.collected():
            load_plugin(plugin)
    for of_model in _alike(cells, _files):
        _check_model(of_model, findings, weights)
    return findings


def _check_model(cells: Sequence[Cell], findings: Findings, weights: bool) -> None:
    """cells: all those of one model."""
    from lwft_bench.models.loading import load_tokenizer
    from lwft_bench.preflight.weights import check_weights, num_layers_of

    model = cells[0].model
    where = f"model {model.name}"
    num_layers = 0
    if weights:
        with findings.collected(where):
            num_layers = num_layers_of(check_weights(model))
    structure = _check_structure(cells, findings)
    if structure is not None:
        _check_planted(cells, structure, findings)
        if structure.num_layers is not None and num_layers > structure.num_layers:
            findings.warn(
                f"{where}: its weight files have {num_layers} layers, and its config asks for "
                f"{structure.num_layers}: the rest is not loaded"
            )
    tokenizer: PreTrainedTokenizerBase | None = None
    with findings.collected(where):
        tokenizer = load_tokenizer(model)
    if tokenizer is None or structure is None:
        return
    for of_task in _alike(cells, lambda cell: cell.task):
        _check_task(of_task, tokenizer, structure, findings)


def check_structures(cells: Sequence[Cell]) -> Findings:
    """What is wrong with models that have nothing but a config."""
    findings = Findings()
    for of_model in _alike(cells, _files):
        _check_structure(of_model, findings)
    return findings


def _check_structure(cells: Sequence[Cell], findings: Findings) -> Structure | None:
    """cells: all those of one model. The structure is that of the last of them that has no problem."""
    from lwft_bench.preflight.structure import structure_of

    structure: Structure | None = None
    for alike in _alike(cells, _structural):
        with findings.collected(f"model {alike[0].model.name}, method {alike[0].method.name}"):
            structure = structure_of(alike[0])
            _warn_of_reach(alike[0], structure, findings)
    return structure


def _warn_of_reach(cell: Cell, structure: Structure, findings: Findings) -> None:
    """Adapters of linear modules pass over the experts of a mixture, which are most of its weights."""
    if cell.method.trains and structure.num_fused and structure.reach < SMALL_REACH:
        findings.warn(
            f"model {cell.model.name}, method {cell.method.name}: the adapter reaches "
            f"{structure.reach:.1%} of the layers' weights, and none of the experts that are fused into "
            "tensors of three dimensions (`adapter.experts: true` with `adapter.dropout: 0` adapts them)"
        )


def _check_planted(cells: Sequence[Cell], structure: Structure, findings: Findings) -> None:
    for cell in cells:
        last = max(cell.model.reinitialise, default=0)
        if structure.num_layers is not None and last >= structure.num_layers:
            findings.problem(
                f"model {cell.model.name}: reinitialise names layer {last}; the model has layers 0 to "
                f"{structure.num_layers - 1}"
            )


def _check_task(
    cells: Sequence[Cell],
    tokenizer: PreTrainedTokenizerBase,
    structure: Structure,
    findings: Findings,
) -> None:
    """cells: all those of one model and task."""
    from lwft_bench.data.sources import load_written
    from lwft_bench.preflight.benchmarks import check_benchmarks
    from lwft_bench.preflight.training_texts import check_training

    model, task = cells[0].model, cells[0].task
    with findings.collected(_where(model, task)):
        data = load_written(task, tokenizer)
        for alike in _alike(cells, _lengths):
            with findings.collected(_where(model, task)):
                check_training(alike[0], data, tokenizer, structure, findings)
    judged = [cell for cell in cells if not cell.trial]
    for alike in _alike(judged, lambda cell: cell.evaluation.max_new_tokens):
        with findings.collected(_where(model, task)):
            check_benchmarks(alike[0], tokenizer, structure, findings)


def _where(model: ModelConfig, task: TaskConfig) -> str:
    return f"model {model.name}, task {task.name}"


def _files(cell: Cell) -> Any:
    """What a model is loaded from: models that differ in planted layers alone are one here."""
    return cell.model.model_copy(update={"name": "any", "reinitialise": ()})


def _structural(cell: Cell) -> Any:
    """What decides how a cell's model is put together."""
    method, training = cell.method, cell.training
    kernels = training.attention, training.kernels, training.compile, training.device
    how = *kernels, training.precision, training.sharded, training.batching, training.router_loss
    of_method = method.adapter, method.always_train, method.units, method.trains
    return *of_method, *how, cell.evaluation.engine


def _lengths(cell: Cell) -> Any:
    training = cell.training
    return training.max_length, training.loss_on


def _alike(cells: Iterable[Cell], key: Callable[[Cell], Any]) -> list[list[Cell]]:
    """The cells in groups of the same key: by its text, since configs hold mappings."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(repr(key(cell)), []).append(cell)
    return list(groups.values())
