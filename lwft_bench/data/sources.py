"""Where a task's training examples and its benchmarks' items come from. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import NonNegativeInt

from lwft_bench.config.models import Config, TaskConfig
from lwft_bench.config.problems import ConfigError, format_key, validate
from lwft_bench.data.examples import Example, Item, Keep, TaskData
from lwft_bench.data.hub import commit_of
from lwft_bench.data.instructions import (
    InstructionItems,
    InstructionRows,
    instruction_items,
    item_file,
)
from lwft_bench.data.json_lines import Row, read_json_lines
from lwft_bench.data.overlap import asked, find_overlap
from lwft_bench.errors import UserError
from lwft_bench.evaluation.benchmarks import BenchmarkConfig, JsonlItems, load_benchmark
from lwft_bench.evaluation.extraction import is_number
from lwft_bench.naming import unknown

GENERATOR_FILES = {
    "generated-arithmetic": (
        "arithmetic.py",
        "arithmetic_templates.py",
        "lexicon.py",
        "examples.py",
    ),
    "generated-commonsense": (
        "commonsense.py",
        "commonsense_templates.py",
        "lexicon.py",
        "examples.py",
    ),
}
"""The modules that generated data depends on: editing one makes cells stale."""


class Source(Protocol):
    """A source of training data; an instance holds its options (a task's `data_options`)."""

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        """As many examples as the task asks for, of those that `keep` leaves."""
        ...

    def files(self) -> list[Path]:
        """All files that the data depends on."""
        ...


class Generator(Protocol):
    """A module that makes data; the test set's seed is its own."""

    def training_examples(self, count: int, seed: int) -> list[Example]: ...

    def validation_examples(self, count: int, seed: int) -> list[Example]: ...

    def benchmark_items(self, benchmark: str, count: int) -> list[Item]: ...


class Generated(Config):
    """Data made by a generator."""

    generator: ClassVar[str]
    """Its name in `GENERATOR_FILES`."""
    seed: NonNegativeInt = 0
    """Of the data; not the cell's."""

    def load(self, task: TaskConfig, keep: Keep) -> TaskData:
        generator = _generator(self.generator)
        return TaskData(
            train=generator.training_examples(task.train_examples, self.seed),
            validation=generator.validation_examples(task.validation_examples, self.seed),
        )

    def files(self) -> list[Path]:
        return _generator_files(self.generator)


class GeneratedArithmetic(Generated):
    """Word problems made by `lwft_bench.data.arithmetic`."""

    generator = "generated-arithmetic"


class GeneratedCommonsense(Generated):
    """Questions without numbers made by `lwft_bench.data.commonsense`."""

    generator = "generated-commonsense"


class JsonLines(Config):
    """The user's own files: one JSON object a line."""

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
        return TaskData(
            train=self._draw(self.train, task.train_examples, "train_examples", keep),
            validation=self._draw(self.validation, num_validation, "validation_examples", list)
            if self.validation is not None
            else [],
        )

    def files(self) -> list[Path]:
        return [path for path in (self.train, self.validation) if path is not None]

    def _draw(self, path: Path, count: int, key: str, keep: Keep) -> list[Example]:
        examples = keep(read_json_lines(path, self._example))
        if len(examples) < count:
            raise UserError(
                f"{path} has {len(examples)} examples, {key} asks for {count}",
                hint=f"set {key} to {len(examples)}",
            )
        chosen = np.random.default_rng(self.seed).permutation(len(examples))[:count]
        return [examples[index] for index in sorted(chosen)]

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
    """The task's training and validation examples, in the source's order."""
    return source_of(task).load(task, partial(_without_test_questions, task))


def _without_test_questions(task: TaskConfig, examples: list[Example]) -> list[Example]:
    """The examples that none of the task's benchmarks has, nearly or exactly, as the task asks.

    All items count, not only those that are drawn.
    """
    dropped: set[int] = set()
    if task.drop_test_questions != "none":
        whole = task.model_copy(update={"items_per_benchmark": None})
        questions = [asked(example) for example in examples]
        for name in task.benchmarks:
            found = find_overlap(questions, [asked(item) for item in load_items(whole, name)])
            dropped |= {
                index
                for index, kind in found.training.items()
                if kind == "exact" or task.drop_test_questions == "near"
            }
    return [example for index, example in enumerate(examples) if index not in dropped]


def load_items(task: TaskConfig, benchmark_name: str) -> list[Item]:
    """The items of one of the task's benchmarks.

    benchmark_name: as in `task.benchmarks`: a shipped benchmark or the path of a definition.
    """
    benchmark = load_benchmark(benchmark_name)
    count = task.items_per_benchmark or benchmark.num_items
    if isinstance(benchmark.source, InstructionItems):
        return instruction_items(benchmark, benchmark.source, task)
    if not isinstance(benchmark.source, JsonlItems):
        generator = _generator(benchmark.source.name)
        return generator.benchmark_items(benchmark.source.benchmark, count)
    source = benchmark.source
    items = read_json_lines(source.path, lambda row: _item(row, benchmark, source))
    if len(items) < count:
        raise UserError(
            f"{source.path} has {len(items)} items, the task asks for {count} of {benchmark.name}",
            hint=f"set items_per_benchmark to {len(items)}, or to null for num_items",
        )
    return items[:count]


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


def data_digest(task: TaskConfig) -> str:
    """sha256 (hex) over everything the task's examples and items depend on.

    Counts and options, the benchmark definitions, and the bytes of the data files, the commit on
    the hub, or the generator's source. Nothing is generated or parsed.
    """
    source = source_of(task)
    benchmarks = _benchmarks_of(task)
    files = source.files()
    hubs = [source.hub] if isinstance(source, InstructionRows) else []
    for benchmark in benchmarks:
        if isinstance(benchmark.source, JsonlItems):
            files.append(benchmark.source.path)
        elif isinstance(benchmark.source, InstructionItems):
            found = item_file(benchmark.source, task)
            if found:
                files.append(found[0])
            else:
                hubs.append(benchmark.source.hub)
        else:
            files.extend(_generator_files(benchmark.source.name))
    facts: dict[str, Any] = {
        "data": task.data,
        "options": task.data_options,
        "train_examples": task.train_examples,
        "validation_examples": task.validation_examples,
        "items_per_benchmark": task.items_per_benchmark,
        "benchmarks": [benchmark.model_dump(mode="json") for benchmark in benchmarks],
        "profile": task.profile,
        "drop_test_questions": task.drop_test_questions,
        "hub": [commit_of(hub) for hub in hubs if hub is not None],
    }
    if task.chat_template:
        facts["chat_template"] = True
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for path in _without_repeats(files):
        digest.update(hashlib.sha256(_bytes_of(path)).digest())
    return digest.hexdigest()


def _benchmarks_of(task: TaskConfig) -> list[BenchmarkConfig]:
    benchmarks = {}
    for name in task.benchmarks:
        benchmark = load_benchmark(name)
        if benchmark.name in benchmarks:
            raise UserError(f"task {task.name}: two benchmarks named {benchmark.name}")
        benchmarks[benchmark.name] = benchmark
    return list(benchmarks.values())


def _item(row: Row, benchmark: BenchmarkConfig, source: JsonlItems) -> Item:
    choices: tuple[str, ...] = ()
    answer = row.text(source.answer_field)
    if benchmark.metric == "numeric_match" and not is_number(answer):
        raise row.error(source.answer_field, "a number", answer)
    if source.choices_field is not None:
        choices = row.texts(source.choices_field)
        if answer not in choices:
            raise row.error(source.answer_field, "one of the choices", answer)
    return Item(f"{benchmark.name}-{row.number}", row.text(source.prompt_field), answer, choices)


def _generator(name: str) -> Generator:
    if name == "generated-arithmetic":
        from lwft_bench.data import arithmetic

        return arithmetic
    from lwft_bench.data import commonsense

    return commonsense


def _generator_files(name: str) -> list[Path]:
    return [Path(__file__).parent / file for file in GENERATOR_FILES[name]]


def _without_repeats(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
