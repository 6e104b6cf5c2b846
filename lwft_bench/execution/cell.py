"""One cell from its configuration to its files: load, train, measure, evaluate, write."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lwft_bench.config.models import Cell
from lwft_bench.data.batching import DataOrder, TokenisedExamples, batches, tokenise
from lwft_bench.data.examples import Item, TaskData
from lwft_bench.data.items import load_items
from lwft_bench.data.overlap import Kind, asked, asked_in, find_overlap
from lwft_bench.data.sources import load_written
from lwft_bench.evaluation.harness import evaluate
from lwft_bench.execution.model_checks import check_model
from lwft_bench.execution.model_confounds import model_confounds
from lwft_bench.execution.outcomes import new_result
from lwft_bench.execution.provenance import now, provenance
from lwft_bench.execution.summary import (
    confounds,
    memory,
    step_flops,
    throughput,
    training_summary,
)
from lwft_bench.models.adapters import Adapter
from lwft_bench.models.digests import weights_digest
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.planning.dry_run import DryRun, dry_run
from lwft_bench.planning.steps import BatchShape, longest
from lwft_bench.planning.traits import traits_of
from lwft_bench.plugins import load_plugin
from lwft_bench.registry import strategies
from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.results.schema import Throughput
from lwft_bench.results.store import read_cell_record, write_result
from lwft_bench.strategies.base import Needs
from lwft_bench.training.adapted import adapted_model, choose_device
from lwft_bench.training.assembly import Assembly, assemble
from lwft_bench.training.engagement import judge
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.meters import NoAccount, PhasePeaks
from lwft_bench.training.ranks import ALONE, Ranks
from lwft_bench.training.streams import RandomStreams
from lwft_bench.training.trainer import Hooks, Trainer
from lwft_bench.training.traits import Traits

Emit = Callable[[dict[str, Any]], None]

VALIDATION_BATCH = 32


@dataclass(slots=True)
class Prepared:
    """A cell's parts once loaded."""

    cell: Cell
    device: torch.device
    streams: RandomStreams
    tokenizer: PreTrainedTokenizerBase
    adapter: Adapter
    model: PreTrainedModel | PeftModel
    train: TokenisedExamples
    validation: TokenisedExamples
    items: dict[str, list[Item]]
    overlap: dict[str, Kind]
    """Of items whose question stands in training or validation data, or nearly: by id."""


def run_cell(
    cell: Cell,
    folder: Path,
    emit: Emit,
    should_stop: Callable[[], bool],
    *,
    save: bool = False,
    ranks: Ranks = ALONE,
) -> None:
    """Runs a cell in its work folder and writes its files there, `result.json` last.

    Goes on from the folder's checkpoint, if any. Raises Interrupted after writing one, once
    should_stop() is true. Over several ranks all train, and the first alone evaluates and writes.
    """
    started = now()
    for plugin in cell.plugins:
        load_plugin(plugin)
    if ranks.rank > 0:
        if cell.method.trains:
            _train(_prepare(cell), folder, emit, should_stop, ranks)
        return
    prepared = _prepare(cell)
    parts: dict[str, Any] = {}
    if cell.method.trains:
        parts = _train(prepared, folder, emit, should_stop, ranks)
    if not cell.trial:
        parts |= _scored(prepared, folder, emit, parts.get("throughput"))
    if save and not cell.trial:
        emit({"event": "phase", "phase": "save"})
        prepared.adapter.save(prepared.model, prepared.tokenizer, folder / "model")
    of_model = parts.pop("model_confounds", {}) | parts.pop("evaluation_confounds", {})
    result = new_result(
        cell,
        read_cell_record(folder),
        "done",
        weights_digest=weights_digest(prepared.adapter.tensors(prepared.model)),
        confounds=confounds(cell, ranks.world) | of_model,
        provenance=provenance(started) | {"ranks": ranks.world},
        **parts,
    )
    write_result(folder, result)


def _prepare(cell: Cell) -> Prepared:
    config = cell.training
    streams = RandomStreams(cell.seed, config.stream_seeds)
    device = choose_device(config.device)
    tokenizer = load_tokenizer(cell.model)
    data = load_written(cell.task, tokenizer)
    items = (
        {} if cell.trial else {name: load_items(cell.task, name) for name in cell.task.benchmarks}
    )
    adapter, model = adapted_model(cell, streams.seed("initialisation"), device)
    return Prepared(
        cell=cell,
        device=device,
        streams=streams,
        tokenizer=tokenizer,
        adapter=adapter,
        model=model,
        train=tokenise(data.train, tokenizer, config.max_length, config.loss_on),
        validation=tokenise(data.validation, tokenizer, config.max_length, "target"),
        items=items,
        overlap=_overlap(data, items),
    )


def _overlap(data: TaskData, items: dict[str, list[Item]]) -> dict[str, Kind]:
    trained_on = asked_in(data)
    return {
        its_items[index].id: kind
        for its_items in items.values()
        for index, kind in find_overlap(
            trained_on, [asked(item) for item in its_items]
        ).test.items()
    }


def _train(
    prepared: Prepared, folder: Path, emit: Emit, should_stop: Callable[[], bool], ranks: Ranks
) -> dict[str, Any]:
    """Trains the model in place; returns the result's parts that tell of it (on the first rank)."""
    cell, config, device = prepared.cell, prepared.cell.training, prepared.device
    order, probing_order = (
        DataOrder(
            prepared.train,
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
            seed=prepared.streams.seed(stream),
            num_ranks=ranks.world,
        )
        for stream in ("data", "measure")
    )
    shapes = [BatchShape.of(batch) for batch in order.longest_batch()]
    traits = traits_of(cell, longest(shapes))
    check_model(cell, prepared.model, traits, order, device)
    account = NoAccount() if device.type == "cpu" else PhasePeaks(device)
    assembly = assemble(
        prepared.model,
        prepared.adapter,
        cell.method,
        config,
        rounding_seed=prepared.streams.seed("rounding"),
        device=device,
        account=account,
        traits=traits,
        ranks=ranks,
    )
    strategy_class = strategies.get(cell.method.strategy.name)
    strategy = strategy_class(strategy_class.Options(**cell.method.strategy.options))
    trainer = Trainer(
        assembly,
        strategy,
        config,
        order,
        probing_order,
        prepared.streams,
        device,
        account,
        Hooks(emit, should_stop, lambda: _validation_loss(assembly, prepared)),
        folder,
    )
    trainer.run()
    if ranks.rank > 0:
        return {}
    engagement = judge(
        trainer.trace,
        assembly.groups,
        assembly.store,
        cell.method,
        trainer.frozen_unchanged,
        selection_varies=strategy.varies,
    )
    emit({"event": "phase", "phase": "plan"})
    planned = _plan(cell, order, trainer, strategy.needs, traits)
    flops = step_flops(trainer.trace, planned, assembly, order)
    rows = zip(trainer.trace.step_rows(), flops, strict=True)
    _write_rows(folder / "steps.jsonl", ({**row, "flops": round(done)} for row, done in rows))
    _write_rows(folder / "selections.jsonl", trainer.trace.selection_rows())
    return {
        "model_confounds": model_confounds(cell, traits),
        "engagement": engagement,
        "memory": memory(planned, account, assembly, device, _host_peak_bytes()),
        "throughput": throughput(trainer.trace, planned, assembly, order),
        "training": training_summary(trainer.trace, planned, assembly, order, prepared.train),
    }


def _validation_loss(assembly: Assembly, prepared: Prepared) -> float | None:
    """Mean loss over the target tokens of the validation examples, without dropout."""
    if not len(prepared.validation):
        return None
    total, num_targets = 0.0, 0
    assembly.model.eval()
    with torch.no_grad():
        for batch in batches(prepared.validation, VALIDATION_BATCH):
            total += float(assembly.loss(DeviceBatch.of(batch, prepared.device)))
            num_targets += batch.num_target_tokens
    assembly.model.train()
    return total / num_targets


def _plan(cell: Cell, order: DataOrder, trainer: Trainer, needs: Needs, traits: Traits) -> DryRun:
    """The dry run of what this cell did: its longest batch, its selections."""
    return dry_run(
        cell,
        [BatchShape.of(batch) for batch in order.largest_share()],
        [tuple(row["units"]) for row in trainer.trace.selections],
        needs,
        traits,
    )


def _scored(
    prepared: Prepared, folder: Path, emit: Emit, throughput: Throughput | None
) -> dict[str, Any]:
    """Evaluates on the benchmarks; returns the result's parts that tell of it."""
    emit({"event": "phase", "phase": "evaluate"})
    started = time.perf_counter()
    evaluation = evaluate(
        prepared.model,
        prepared.tokenizer,
        prepared.items,
        prepared.cell.evaluation,
        profile=prepared.cell.task.profile,
        chat_template=prepared.cell.task.chat_template,
    )
    if throughput is not None:
        throughput.evaluation_seconds = time.perf_counter() - started
    for score in evaluation.scores:
        emit({"event": "evaluated", "benchmark": score.benchmark, "value": score.value})
    _write_rows(
        folder / "samples.jsonl",
        ({**asdict(one), "overlap": prepared.overlap.get(one.id)} for one in evaluation.samples),
    )
    values = [score.value for score in evaluation.scores]
    return {
        "evaluation_confounds": {"evaluation.rows_together": evaluation.rows_together},
        "scores": evaluation.scores,
        "average": sum(values) / len(values),
    }


def _host_peak_bytes() -> int:
    """Peak resident set of this process; the kernel counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
