"""Training sets and benchmarks whose rows are instructions: from files, or from the hub."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import NonNegativeInt, field_validator, model_validator

from lwft_bench.data.examples import Example, Item, Keep, TaskData, with_target
from lwft_bench.data.forms import FORMS, Instruction
from lwft_bench.data.gold_answers import expected_answer
from lwft_bench.data.hub import HubSplits, read_hub
from lwft_bench.data.json_lines import Row
from lwft_bench.data.locations import NAME_A_FOLDER, data_folder, find_file
from lwft_bench.data.prompts import example, prompt
from lwft_bench.data.row_files import read_rows
from lwft_bench.schema.base import Config
from lwft_bench.schema.cell import Profile, TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown

if TYPE_CHECKING:
    from lwft_bench.data.benchmarks import BenchmarkConfig

_Column = Literal["instruction", "input", "output", "answer"]
ITEM_SEED = 0
"""Of the draw, where a task asks for fewer items than a benchmark has: the same for everybody."""


def known_form(name: str) -> str:
    """A validator.

    Raises:
        ValueError: there is no such form.
    """
    if name not in FORMS:
        raise ValueError(unknown("form", name, FORMS))
    return name


class InstructionItems(Config):
    """Items whose rows are instructions: LLM-Adapters' test file, or the original data set.

    A file is looked for under the task's `data_dir` (`locations.LAYOUTS`); the hub is asked only
    where there is no such folder.
    """

    name: Literal["instructions"]
    file: str
    """LLM-Adapters' file, in its own form."""
    original_file: str | None = None
    """A file of the original data set, in `form`, if LLM-Adapters' is not there."""
    hub: HubSplits | None = None
    """The original data set on the hub, in `form`."""
    form: str = "alpaca"

    _known_form = field_validator("form")(known_form)


class InstructionRows(Config):
    """Instructions from files (JSON, JSON lines, Parquet, Arrow) or from the hub."""

    train: Path | None = None
    """Looked for beside the suite, then under the task's `data_dir`."""
    validation: Path | None = None
    """None: validation examples are drawn from the training rows, which then lack them."""
    hub: HubSplits | None = None
    """Instead of `train`."""
    form: str = "alpaca"
    """How rows are written: `lwft_bench.data.forms`."""
    columns: dict[_Column, str] = {}
    """Form alpaca: its columns -> those of the data, where they are called otherwise."""
    seed: NonNegativeInt = 0
    """Of the draw, where there are more rows than the task asks for."""

    _known_form = field_validator("form")(known_form)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.train is None) == (self.hub is None):
            raise ValueError("expected exactly one of the keys 'train' and 'hub'")
        if self.columns and self.form != "alpaca":
            raise ValueError("`columns` is for the form alpaca")
        return self

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        """Training and validation examples, in the data's order.

        Raises:
            UserError: the data cannot be had or read, or has too few rows.
        """
        read = self._read(self.train, task)
        num_read, num_empty = len(read), len(read) - len(with_target(read))
        rows = keep(with_target(read))
        num_apart = task.validation_examples if self.validation is None else 0
        wanted = task.train_examples + num_apart
        # Rows without a target are told by their number, which is why so many fewer will do.
        if len(rows) + num_empty < wanted or len(rows) <= num_apart:
            dropped = (
                ", after dropping test questions," if task.drop_test_questions != "none" else ""
            )
            apart = f" and {num_apart} for validation" if num_apart else ""
            empty = f" ({num_empty} more rows have an empty target)" if num_empty else ""
            raise UserError(
                f"task {task.name}: {self.train or self._hub_name}{dropped} has {len(rows)} "
                f"examples{empty}; train_examples asks for {task.train_examples}{apart}",
                f"set train_examples to {len(rows) - num_apart}" if len(rows) > num_apart else None,
            )
        order = np.random.default_rng(self.seed).permutation(len(rows))
        validation = [rows[index] for index in sorted(order[:num_apart])]
        if self.validation is not None:
            read = self._read(self.validation, task)
            own = with_target(read)
            num_read, num_empty = num_read + len(read), num_empty + len(read) - len(own)
            if len(read) < task.validation_examples:
                raise UserError(
                    f"{self.validation} has {len(own)} examples, validation_examples asks for "
                    f"{task.validation_examples}",
                    f"set validation_examples to {len(own)}",
                )
            drawn = np.random.default_rng(self.seed).permutation(len(own))
            validation = [own[index] for index in sorted(drawn[: task.validation_examples])]
        train = [rows[index] for index in sorted(order[num_apart:wanted])]
        return TaskData(train, validation, num_empty, num_read)

    def files(self) -> list[Path]:
        return [path for path in (self.train, self.validation) if path is not None]

    @property
    def _hub_name(self) -> str:
        assert self.hub is not None
        return self.hub.dataset

    def _read(self, path: Path | None, task: TaskConfig) -> list[Example]:
        def parse(row: Row) -> Example:
            renamed = row.renamed({str(ours): theirs for ours, theirs in self.columns.items()})
            found = FORMS[self.form](renamed)
            _refuse_input(row, found, task.profile)
            return example(found, task.profile, chat=task.chat_template)

        if path is not None:
            return read_rows(path, parse)
        assert self.hub is not None
        return read_hub(self.hub, parse)


def item_file(source: InstructionItems, task: TaskConfig) -> tuple[Path, str] | None:
    """The benchmark's file that is there, and its form; None where the hub is to be asked.

    Raises:
        UserError: neither the file nor the data set can be had.
    """
    folder = data_folder(task.data_dir)
    if (path := find_file(folder, source.file)) is not None:
        return path, "alpaca"
    if source.original_file and (path := find_file(folder, source.original_file)) is not None:
        return path, source.form
    if folder is not None:
        raise UserError(f"no {source.file} under {folder}")
    if source.hub is None:
        raise UserError(
            f"{source.file} is on no hub: it is in `dataset/` of github.com/AGI-Edgerunners/"
            "LLM-Adapters",
            NAME_A_FOLDER,
        )
    return None


def instruction_items(
    benchmark: BenchmarkConfig, source: InstructionItems, task: TaskConfig
) -> list[Item]:
    """The benchmark's items in its own order; a draw of them if the task asks for fewer.

    Raises:
        UserError: the rows cannot be had or read, or are not as many as the definition says.
    """
    numbers = itertools.count(1)
    found = item_file(source, task)
    form = FORMS[found[1] if found else source.form]

    def parse(row: Row) -> Item:
        instruction = form(row)
        if instruction.answer is None:
            raise row.error("answer", "a text", None)
        if expected := expected_answer(benchmark, instruction.answer):
            raise row.error("answer", expected, instruction.answer)
        _refuse_input(row, instruction, task.profile)
        return Item(
            f"{benchmark.name}-{next(numbers)}",
            prompt(instruction, task.profile, chat=task.chat_template),
            instruction.answer,
            question=instruction.question,
            cluster=_opening(instruction.instruction) if benchmark.clusters else None,
        )

    if found:
        place, items = str(found[0]), read_rows(found[0], parse)
    else:
        assert source.hub is not None
        place, items = source.hub.dataset, read_hub(source.hub, parse)
    if len(items) != benchmark.num_items:
        raise UserError(
            f"{place} has {len(items)} items, and {benchmark.name} (version {benchmark.version}) "
            f"{benchmark.num_items}: it is another set, or not all of it"
        )
    count = min(task.items_per_benchmark or len(items), len(items))
    drawn = np.random.default_rng(ITEM_SEED).permutation(len(items))[:count]
    return [items[index] for index in sorted(drawn)]


def _refuse_input(row: Row, found: Instruction, profile: Profile) -> None:
    """The published template is known only for rows without input, which all of its data are."""
    if profile == "published" and found.input.strip():
        raise row.error("input", "nothing, as profile published has no place for it", found.input)


def _opening(text: str) -> str:
    """The first sentence, whatever its numbers: stories told again with others share it."""
    without_numbers = re.sub(r"\d[\d.,]*", "#", text.lower())
    return re.split(r"[.?!]", without_numbers, maxsplit=1)[0].strip()
