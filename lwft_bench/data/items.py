"""The items of a task's benchmarks, from files, the hub or a generator. Imports no torch."""

from __future__ import annotations

from typing import Any

from lwft_bench.data.benchmarks import BenchmarkConfig, JsonlItems, load_benchmark
from lwft_bench.data.examples import Item
from lwft_bench.data.generators import load_generator
from lwft_bench.data.gold_answers import expected_answer
from lwft_bench.data.instructions import InstructionItems, instruction_items
from lwft_bench.data.json_lines import Row
from lwft_bench.data.row_files import read_own_rows
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError


def load_items(task: TaskConfig, benchmark_name: str) -> list[Item]:
    """The items of one of the task's benchmarks.

    benchmark_name: as in `task.benchmarks`: a shipped benchmark or the path of a definition.
    """
    benchmark = load_benchmark(benchmark_name).under(task.profile)
    count = task.items_per_benchmark or benchmark.num_items
    if isinstance(benchmark.source, InstructionItems):
        return instruction_items(benchmark, benchmark.source, task)
    if not isinstance(benchmark.source, JsonlItems):
        generator = load_generator(benchmark.source.name)
        return _of_its_kind(benchmark, generator.benchmark_items(benchmark.source.benchmark, count))
    source = benchmark.source
    items = read_own_rows(source.path, lambda row: _item(row, benchmark, source))
    if len(items) < count:
        if task.items_per_benchmark is None:
            raise UserError(
                f"{source.path} has {len(items)} items, and {benchmark.name} {benchmark.num_items}",
                hint=f"set num_items to {len(items)} in {benchmark_name}, if these are all of it",
            )
        raise UserError(
            f"{source.path} has {len(items)} items, the task asks for {count} of {benchmark.name}",
            hint=f"set items_per_benchmark to {len(items)}, or to null for num_items",
        )
    return items[:count]


def _of_its_kind(benchmark: BenchmarkConfig, items: list[Item]) -> list[Item]:
    """Raises:
    UserError: generated items have choices and the benchmark generates answers, or the reverse.
    """
    if any(bool(item.choices) != (benchmark.kind == "multiple_choice") for item in items):
        other = "generate" if benchmark.kind == "multiple_choice" else "multiple_choice"
        raise UserError(
            f"benchmark {benchmark.name}: its source makes items of kind {other}, not {benchmark.kind}"
        )
    return items


def benchmarks_of(task: TaskConfig) -> list[BenchmarkConfig]:
    """The definitions that a task names.

    Raises:
        UserError: There is none of a name, it is wrong, or two have one name.
    """
    benchmarks = {}
    for name in task.benchmarks:
        benchmark = load_benchmark(name)
        if benchmark.name in benchmarks:
            raise UserError(f"task {task.name}: two benchmarks named {benchmark.name}")
        benchmarks[benchmark.name] = benchmark
    return list(benchmarks.values())


def _item(row: Row, benchmark: BenchmarkConfig, source: JsonlItems) -> Item:
    choices: tuple[str, ...] = ()
    field = source.answer_field
    answer = row.text_or_number(field)
    if source.choices_field is not None:
        choices = row.texts_or_numbers(source.choices_field)
        if not all(choices):
            raise row.error(source.choices_field, "choices that are not empty", [*choices])
        if len(choices) < 2:
            raise row.error(source.choices_field, "at least two choices", [*choices])
        _require_choice(row, field, answer, row.fields[source.choices_field])
    elif expected := expected_answer(benchmark, answer):
        raise row.error(field, expected, answer)
    return Item(f"{benchmark.name}-{row.id}", row.text(source.prompt_field), answer, choices)


def _require_choice(row: Row, field: str, answer: str, choices: list[Any]) -> None:
    """A number beside choices that are texts would be a place among them, from 0 or from 1."""
    written = list(map(str, choices))
    given = row.fields[field]
    is_place = not isinstance(given, str) and all(isinstance(choice, str) for choice in choices)
    if answer not in written or is_place:
        raise row.error(field, "one of the choices, as it is written there", given)
    if written.count(answer) > 1:
        raise row.error(field, "a choice that is there once", given)
