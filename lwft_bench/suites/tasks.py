"""A task's own checks: its source of data and that source's options, and its benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import Locate, Problem, validate
from lwft_bench.schema.shipped import is_path, shipped


def resolve_task(
    task: TaskConfig, folder: Path, locate: Locate
) -> tuple[TaskConfig, list[Problem]]:
    """The task with the paths in it absolute, and what is wrong with it.

    Args:
        folder: What relative paths are relative to.
        locate: The place of a key path in the task.
    """
    from lwft_bench.data.benchmarks import load_benchmark
    from lwft_bench.data.instructions import InstructionItems, item_file
    from lwft_bench.data.locations import NAME_A_FOLDER, data_folder, find_file
    from lwft_bench.data.sources import SOURCES

    problems: list[Problem] = []
    data = data_folder(str(folder / Path(task.data_dir).expanduser()) if task.data_dir else None)
    task = task.model_copy(update={"data_dir": str(data) if data else None})
    if data is not None and not data.is_dir():
        problems.append(Problem(*locate(("data_dir",)), f"no such folder: {data}"))
    options: dict[str, Any] = task.data_options
    if task.data not in SOURCES:
        problems.append(Problem(*locate(("data",)), unknown("data source", task.data, SOURCES)))
    else:
        source, found = validate(
            SOURCES[task.data],
            options,
            lambda path: locate(("data_options", *path)),
            f"option of data source {task.data!r}",
        )
        problems.extend(found)
        for key, value in source or ():
            if isinstance(value, Path):
                file = folder / value.expanduser()
                if not file.is_file():
                    file = find_file(data, str(value)) or file
                options = options | {key: str(file)}
                if not file.is_file():
                    place = locate(("data_options", key))
                    elsewhere = f", nor under {data}" if data else f"; {NAME_A_FOLDER}"
                    problems.append(Problem(*place, f"no such file: {file}{elsewhere}"))
    benchmarks = tuple(str(folder / name) if is_path(name) else name for name in task.benchmarks)
    for index, name in enumerate(benchmarks):
        place = locate(("benchmarks", index))
        if not is_path(name) and name not in shipped("benchmarks"):
            text = unknown("benchmark", name, shipped("benchmarks"))
            problems.append(Problem(*place, text, "lwft-bench list benchmarks"))
            continue
        try:
            items = load_benchmark(name).source
            if isinstance(items, InstructionItems):
                item_file(items, task)
        except UserError as error:
            text = "; ".join(filter(None, (error.message, error.hint)))
            problems.append(Problem(*place, text))
    return task.model_copy(update={"data_options": options, "benchmarks": benchmarks}), problems


def named_benchmarks(names: Sequence[str]) -> tuple[str, ...]:
    """Benchmarks that the command line names, paths of definitions made absolute.

    Raises:
        UserError: One is unknown, or its definition cannot be read.
    """
    from lwft_bench.data.benchmarks import load_benchmark

    for name in names:
        if not is_path(name) and name not in shipped("benchmarks"):
            text = unknown("benchmark", name, shipped("benchmarks"))
            raise UserError(text, "lwft-bench list benchmarks")
    found = tuple(str(Path.cwd() / name) if is_path(name) else name for name in names)
    for name in found:
        load_benchmark(name)
    return found
