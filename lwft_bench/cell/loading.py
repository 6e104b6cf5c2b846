"""A cell's first step: model, tokenizer, examples and items, ready to train and to be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lwft_bench.adapters.base import Adapter
from lwft_bench.data.batching import TokenisedExamples, tokenise
from lwft_bench.data.examples import Item, TaskData
from lwft_bench.data.items import load_items
from lwft_bench.data.overlap import asked, asked_in, find_overlaps
from lwft_bench.data.sources import load_written
from lwft_bench.models.finiteness import not_finite
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.rows import OverlapKind
from lwft_bench.training.adapted import adapted_model, choose_device
from lwft_bench.training.streams import RandomStreams


@dataclass(frozen=True, slots=True)
class Loaded:
    """A cell's parts. Training changes the model's weights, and nothing else of them."""

    cell: Cell
    device: torch.device
    streams: RandomStreams
    tokenizer: PreTrainedTokenizerBase
    adapter: Adapter
    model: PreTrainedModel | PeftModel
    train: TokenisedExamples
    validation: TokenisedExamples
    num_empty: int
    """Rows of the data files that were left out, as their target is empty."""
    items: Mapping[str, Sequence[Item]]
    """Of each benchmark; none for a trial, and for a cell that is only timed."""
    overlap: Mapping[str, OverlapKind]
    """Of items whose question stands in training or validation data, or nearly: by id."""


def load(cell: Cell, *, is_scored: bool = True) -> Loaded:
    """Everything that the cell's configuration names.

    A model that is to be shared out stays on the host: `share_out` brings it to devices.

    Args:
        is_scored: Whether benchmarks' items are wanted; a trial has none.

    Raises:
        UserError: Something cannot be found or read, or does not fit together.
    """
    config = cell.training
    streams = RandomStreams(cell.seed, config.stream_seeds)
    device = choose_device(config.device)
    tokenizer = load_tokenizer(cell.model)
    data = load_written(cell.task, tokenizer)
    asked_of = () if cell.trial or not is_scored else cell.task.benchmarks
    items = {name: load_items(cell.task, name) for name in asked_of}
    place = torch.device("cpu") if config.sharded else device
    adapter, model = adapted_model(cell, streams.seed("initialisation"), place)
    _require_finite(cell, model)
    return Loaded(
        cell=cell,
        device=device,
        streams=streams,
        tokenizer=tokenizer,
        adapter=adapter,
        model=model,
        train=tokenise(data.train, tokenizer, config.max_length, config.loss_on),
        validation=tokenise(data.validation, tokenizer, config.max_length, "target"),
        num_empty=data.num_empty,
        items=items,
        overlap=_overlap(data, items),
    )


def _require_finite(cell: Cell, model: nn.Module) -> None:
    if broken := not_finite(model.named_parameters()):
        others = f" and {len(broken) - 1} others" if len(broken) > 1 else ""
        raise UserError(
            f"model {cell.model.name}: its weights hold NaN or infinity: {broken[0]}{others}",
            "The checkpoint is damaged, or it diverged where it was trained; a dtype with less range "
            "(training.precision) can do it too.",
        )


def _overlap(data: TaskData, items: Mapping[str, Sequence[Item]]) -> dict[str, OverlapKind]:
    questions = [[asked(item) for item in its_items] for its_items in items.values()]
    overlaps = find_overlaps(asked_in(data), questions)
    return {
        its_items[index].id: kind
        for its_items, overlap in zip(items.values(), overlaps, strict=True)
        for index, kind in overlap.test.items()
    }
