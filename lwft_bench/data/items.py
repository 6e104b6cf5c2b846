"""The items of a task's benchmarks, from files, the hub or a generator. Imports no torch."""

from __future__ import annotations

from lwft_bench.data.benchmarks import BenchmarkConfig, JsonlItems, load_benchmark
from lwft_bench.data.examples import Item
from lwft_bench.data.extraction import is_number
from lwft_bench.data.generators import load_generator
from lwft_bench.data.instructions import InstructionItems, instruction_items
from lwft_bench.data.json_lines import Row
from lwft_bench.data.row_files import read_own_rows
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError


def load_items(task: TaskConfig, benchmark_name: str) -> list[Item]:
    """The items of one of the task's benchmarks.

    benchmark_name: as in `task.benchmarks`: a shipped benchmark or the path of a definition.
    """
    benchmark = load_benchmark(benchmark_name)
    count = task.items_per_benchmark or benchmark.num_items
    if isinstance(benchmark.source, InstructionItems):
        return instruction_items(benchmark, benchmark.source, task)
    if not isinstance(benchmark.source, JsonlItems):
        generator = load_generator(benchmark.source.name)
        return generator.benchmark_items(benchmark.source.benchmark, count)
    source = benchmark.source
    items = read_own_rows(source.path, lambda row: _item(row, benchmark, source))
    if len(items) < count:
        raise UserError(
            f"{source.path} has {len(items)} items, the task asks for {count} of {benchmark.name}",
            hint=f"set items_per_benchmark to {len(items)}, or to null for num_items",
        )
    return items[:count]


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
    answer = row.text_or_number(source.answer_field)
    if benchmark.metric == "numeric_match" and not is_number(answer):
        raise row.error(source.answer_field, "a number", answer)
    if source.choices_field is not None:
        choices = row.texts_or_numbers(source.choices_field)
        if not all(choices):
            raise row.error(source.choices_field, "choices that are not empty", [*choices])
        if answer not in choices:
            raise row.error(source.answer_field, "one of the choices", answer)
    return Item(f"{benchmark.name}-{row.id}", row.text(source.prompt_field), answer, choices)
