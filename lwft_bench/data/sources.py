"""Where a task's training examples come from. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from pydantic import NonNegativeInt

from lwft_bench.data.benchmarks import JsonlItems, load_benchmark
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.data.examples import Example, Keep, TaskData, with_target
from lwft_bench.data.generators import generator_files, load_generator
from lwft_bench.data.instructions import InstructionItems, InstructionRows
from lwft_bench.data.items import load_items
from lwft_bench.data.json_lines import Row
from lwft_bench.data.overlap import asked, find_overlaps
from lwft_bench.data.row_files import read_own_rows
from lwft_bench.schema.base import Config
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import ConfigError, format_key, validate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PERMUTATION_SEED = 1
"""Of `permute_targets`: the same for all cells, as the data are."""


class Source(Protocol):
    """A source of training data; an instance holds its options (a task's `data_options`)."""

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        """As many examples as the task asks for, of those that `keep` leaves."""
        ...

    def files(self) -> list[Path]:
        """All files that the data depends on."""
        ...


class Generated(Config):
    """Data made by a generator."""

    generator: ClassVar[str]
    """Its name in `generators.GENERATOR_FILES`."""
    seed: NonNegativeInt = 0
    """Of the data; not the cell's."""

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        generator = load_generator(self.generator)
        return TaskData(
            train=generator.training_examples(task.train_examples, self.seed),
            validation=generator.validation_examples(task.validation_examples, self.seed),
        )

    def files(self) -> list[Path]:
        return generator_files(self.generator)


class GeneratedArithmetic(Generated):
    """Word problems made by `lwft_bench.data.arithmetic`."""

    generator = "generated-arithmetic"


class GeneratedCommonsense(Generated):
    """Questions without numbers made by `lwft_bench.data.commonsense`."""

    generator = "generated-commonsense"


class JsonLines(Config):
    """The user's own files: one JSON object a line, or another kind that their suffix says."""

    train: Path
    validation: Path | None = None
    prompt_field: str = "prompt"
    target_field: str = "target"
    seed: NonNegativeInt = 0
    """Of the draw, where a file has more examples than the task asks for."""

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        num_validation = task.validation_examples
        if num_validation and self.validation is None:
            raise UserError(
                f"the task asks for {num_validation} validation examples and names no file",
                hint="give data_options.validation a path, or set validation_examples to 0",
            )
        data = self._draw(self.train, task.train_examples, "train_examples", keep)
        if self.validation is None:
            return data
        own = self._draw(self.validation, num_validation, "validation_examples", list)
        return TaskData(
            data.train, own.train, data.num_empty + own.num_empty, data.num_read + own.num_read
        )

    def files(self) -> list[Path]:
        return [path for path in (self.train, self.validation) if path is not None]

    def _draw(self, path: Path, count: int, key: str, keep: Keep) -> TaskData:
        """As the training data of a task that has no other."""
        read = read_own_rows(path, self._example)
        examples = keep(with_target(read))
        num_empty = len(read) - len(with_target(read))
        if len(examples) + num_empty < count or (count and not examples):
            empty = f" ({num_empty} more rows have an empty target)" if num_empty else ""
            raise UserError(
                f"{path} has {len(examples)} examples{empty}, {key} asks for {count}",
                hint=f"set {key} to {len(examples)}" if examples else None,
            )
        chosen = np.random.default_rng(self.seed).permutation(len(examples))[:count]
        drawn = [examples[index] for index in sorted(chosen)]
        return TaskData(drawn, [], num_empty, len(read))

    def _example(self, row: Row) -> Example:
        return Example(prompt=row.text(self.prompt_field), target=row.text(self.target_field))


SOURCES: dict[
    str, type[GeneratedArithmetic | GeneratedCommonsense | JsonLines | InstructionRows]
] = {
    "generated-arithmetic": GeneratedArithmetic,
    "generated-commonsense": GeneratedCommonsense,
    "jsonl": JsonLines,
    "instructions": InstructionRows,
}


def source_of(task: TaskConfig) -> Source:
    """The task's source with its options.

    Raises:
        UserError: there is no such source, or its options are wrong.
    """
    if task.data not in SOURCES:
        raise UserError(f"task {task.name}: {unknown('data source', task.data, SOURCES)}")
    source, problems = validate(
        SOURCES[task.data],
        task.data_options,
        lambda key: (f"task {task.name}", format_key(("data_options", *key))),
        f"option of data source {task.data!r}",
    )
    if source is None:
        raise ConfigError(problems)
    return source


def load_examples(task: TaskConfig) -> TaskData:
    """The task's training and validation examples, in the source's order, with targets of others
    where the task asks for that.
    """
    data = source_of(task).load(task, partial(_without_test_questions, task))
    return (
        replace(data, train=_with_targets_of_others(data.train)) if task.permute_targets else data
    )


def _with_targets_of_others(examples: list[Example]) -> list[Example]:
    """Each with the target at another place of one cycle through all, which is drawn uniformly."""
    order = np.random.default_rng(PERMUTATION_SEED).permutation(len(examples))
    targets = {
        int(one): examples[int(other)].target
        for one, other in zip(order, np.roll(order, 1), strict=True)
    }
    return [replace(example, target=targets[index]) for index, example in enumerate(examples)]


def load_written(task: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> TaskData:
    """The same as they are written for a model: by its chat template where the task asks for it.

    Raises:
        UserError: The tokenizer has no such template.
    """
    data = load_examples(task)
    if not task.chat_template:
        return data
    return ChatTemplate(tokenizer, task.chat_template_options).data(data)


def _without_test_questions(task: TaskConfig, examples: list[Example]) -> list[Example]:
    """The examples that none of the task's benchmarks has, nearly or exactly, as the task asks.

    All items count, not only those that are drawn.
    """
    dropped: set[int] = set()
    if task.drop_test_questions != "none":
        whole = task.model_copy(update={"items_per_benchmark": None})
        questions = [asked(example) for example in examples]
        tests = ([asked(item) for item in load_items(whole, name)] for name in task.benchmarks)
        for found in find_overlaps(questions, tests):
            dropped |= {
                index
                for index, kind in found.training.items()
                if kind == "exact" or task.drop_test_questions == "near"
            }
    return [example for index, example in enumerate(examples) if index not in dropped]


def check_data(task: TaskConfig) -> None:
    """Reads what comes from files or the hub, so that what is wrong in it is said before training.

    Raises:
        UserError: something is.
    """
    if not isinstance(source_of(task), Generated):
        load_examples(task)
    for name in task.benchmarks:
        if isinstance(load_benchmark(name).source, JsonlItems | InstructionItems):
            load_items(task, name)
