"""The batch that a plan is made for: the longest of the task's, without loading the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from lwft_bench.data.batching import DataOrder, TokenisedExamples, splitting_of, tokenise
from lwft_bench.data.micro_batches import padded_length
from lwft_bench.data.sources import load_written
from lwft_bench.dry_run.steps import BatchShape
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.schema.cell import Cell, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """The micro-batches of one optimizer step, and in words where they come from.

    Of a cell whose processes share out the model, those of one process: the first, which has most.
    """

    shapes: tuple[BatchShape, ...]
    source: str

    @property
    def tokens(self) -> int:
        """Padding included."""
        return sum(shape.rows * shape.length for shape in self.shapes)


def planned_batch(cell: Cell) -> PlannedBatch:
    """The longest batch of the task's data; without them the longest that is allowed."""
    training = cell.training
    if cell.model.path is None and cell.model.tokenizer is None:
        return _longest_allowed(training, f"model {cell.model.name} has no tokenizer")
    try:
        # Models and tasks are compared by their text, so that one is tokenised once.
        examples = _tokenised(
            cell.model.model_dump_json(),
            cell.task.model_dump_json(),
            training.max_length,
            training.loss_on,
        )
    except UserError as error:
        return _longest_allowed(training, error.message)
    order = DataOrder(
        examples,
        batch_size=training.batch_size,
        splitting=splitting_of(training),
        seed=0,
        num_ranks=training.sharded or 1,
    )
    shapes = tuple(BatchShape.of(batch) for batch in order.largest_share())
    return PlannedBatch(shapes, f"the longest batch of task {cell.task.name}")


@cache
def _tokenised(
    model: str, task: str, max_length: int, loss_on: Literal["target", "all"]
) -> TokenisedExamples:
    tokenizer = load_tokenizer(ModelConfig.model_validate_json(model))
    data = load_written(TaskConfig.model_validate_json(task), tokenizer)
    return tokenise(data.train, tokenizer, max_length, loss_on)


def _longest_allowed(training: TrainingConfig, why: str) -> PlannedBatch:
    """Rows of max_length tokens, every one of them a target."""
    length, size = training.max_length, -(-training.batch_size // (training.sharded or 1))
    split = splitting_of(training).split(range(size), [length] * size)
    shapes = tuple(
        BatchShape.packed([length] * n, n * (length - 1))
        if training.batching == "packed"
        else BatchShape(n, padded_length(length), n * (length - 1))
        for n in map(len, split)
    )
    return PlannedBatch(
        shapes, f"rows of training.max_length tokens, all of them targets, since {why}"
    )
