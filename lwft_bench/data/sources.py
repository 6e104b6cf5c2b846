"""Where a task's training examples and its benchmarks' items come from. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import NonNegativeInt

from lwft_bench.config.models import Config, TaskConfig
from lwft_bench.config.problems import ConfigError, format_key, validate
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.json_lines import Row, read_json_lines
from lwft_bench.errors import UserError
from lwft_bench.evaluation.benchmarks import BenchmarkConfig, JsonlItems, load_benchmark
from lwft_bench.evaluation.extraction import is_number
from lwft_bench.registry import unknown

GENERATOR_FILES = ("arithmetic.py", "arithmetic_templates.py", "lexicon.py", "examples.py")
"""The modules that generated data depends on: editing one makes cells stale."""


@dataclass(frozen=True, slots=True)
class TaskData:
    """What a task trains on. The same for every cell: a cell's seed changes only the order."""

    train: list[Example]
    validation: list[Example]


class Source(Protocol):
    """A source of training data; an instance holds its options (a task's `data_options`)."""

    def load(self, num_train: int, num_validation: int) -> TaskData: ...

    def files(self) -> list[Path]:
        """All files that the data depends on."""
        ...


class GeneratedArithmetic(Config):
    """Word problems made by `lwft_bench.data.arithmetic`."""

    seed: NonNegativeInt = 0
    """Of the data; not the cell's."""

    def load(self, num_train: int, num_validation: int) -> TaskData:
        from lwft_bench.data import arithmetic

        return TaskData(
            train=arithmetic.training_examples(num_train, self.seed),
            validation=arithmetic.validation_examples(num_validation, self.seed),
        )

    def files(self) -> list[Path]:
        return _generator_files()


class JsonLines(Config):
    """The user's own files: one JSON object a line."""

    train: Path
    validation: Path | None = None
    prompt_field: str = "prompt"
    target_field: str = "target"
    seed: NonNegativeInt = 0
    """Of the draw, where a file has more examples than the task asks for."""

    def load(self, num_train: int, num_validation: int) -> TaskData:
        if num_validation and self.validation is None:
            raise UserError(
                f"the task asks for {num_validation} validation examples and names no file",
                hint="give data_options.validation a path, or set validation_examples to 0",
            )
        return TaskData(
            train=self._draw(self.train, num_train, "train_examples"),
            validation=self._draw(self.validation, num_validation, "validation_examples")
            if self.validation is not None
            else [],
        )

    def files(self) -> list[Path]:
        return [path for path in (self.train, self.validation) if path is not None]

    def _draw(self, path: Path, count: int, key: str) -> list[Example]:
        examples = read_json_lines(path, self._example)
        if len(examples) < count:
            raise UserError(
                f"{path} has {len(examples)} examples, {key} asks for {count}",
                hint=f"set {key} to {len(examples)}",
            )
        chosen = np.random.default_rng(self.seed).permutation(len(examples))[:count]
        return [examples[index] for index in sorted(chosen)]

    def _example(self, row: Row) -> Example:
        return Example(prompt=row.text(self.prompt_field), target=row.text(self.target_field))


SOURCES: dict[str, type[GeneratedArithmetic | JsonLines]] = {
    "generated-arithmetic": GeneratedArithmetic,
    "jsonl": JsonLines,
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
    return source_of(task).load(task.train_examples, task.validation_examples)


def load_items(task: TaskConfig, benchmark_name: str) -> list[Item]:
    """The items of one of the task's benchmarks.

    benchmark_name: as in `task.benchmarks`: a shipped benchmark or the path of a definition.
    """
    benchmark = load_benchmark(benchmark_name)
    count = task.items_per_benchmark or benchmark.num_items
    if not isinstance(benchmark.source, JsonlItems):
        from lwft_bench.data import arithmetic

        return arithmetic.benchmark_items(benchmark.source.benchmark, count)
    source = benchmark.source
    items = read_json_lines(source.path, lambda row: _item(row, benchmark, source))
    if len(items) < count:
        raise UserError(
            f"{source.path} has {len(items)} items, the task asks for {count} of {benchmark.name}",
            hint=f"set items_per_benchmark to {len(items)}, or to null for num_items",
        )
    return items[:count]


def data_digest(task: TaskConfig) -> str:
    """sha256 (hex) over everything the task's examples and items depend on.

    Counts and options, the benchmark definitions, and the bytes of the data files or of the
    generator's source. Nothing is generated or parsed.
    """
    source = source_of(task)
    benchmarks = _benchmarks_of(task)
    files = source.files()
    for benchmark in benchmarks:
        if isinstance(benchmark.source, JsonlItems):
            files.append(benchmark.source.path)
        else:
            files.extend(_generator_files())
    facts: dict[str, Any] = {
        "data": task.data,
        "options": task.data_options,
        "train_examples": task.train_examples,
        "validation_examples": task.validation_examples,
        "items_per_benchmark": task.items_per_benchmark,
        "benchmarks": [benchmark.model_dump(mode="json") for benchmark in benchmarks],
    }
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


def _generator_files() -> list[Path]:
    return [Path(__file__).parent / name for name in GENERATOR_FILES]


def _without_repeats(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
