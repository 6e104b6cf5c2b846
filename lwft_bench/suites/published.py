"""`published:` of a suite: what is wrong with it for this suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import Locate, Problem, validate
from lwft_bench.schema.shipped import is_path
from lwft_bench.schema.suite import AVERAGE, Published
from lwft_bench.suites.entries import Entry


def published_problems(
    value: Any,
    names: Mapping[str, set[str]],
    tasks: Sequence[Entry[TaskConfig]],
    num_tasks: int,
    locate: Locate,
) -> Iterator[Problem]:
    """Models, methods and benchmarks that the suite has not.

    Args:
        value: As it is written.
        names: Of all models and methods, those that could not be read included.
        tasks: Those of the `num_tasks` that could be read. Where one is missing, benchmarks are not
            checked.
        locate: The place of a key path in `value`.
    """
    if not isinstance(value, dict):
        return
    published, _ = validate(Published, value, locate)  # what is wrong is told of the whole suite
    if published is None:
        return
    benchmarks = benchmark_names(tasks) if len(tasks) == num_tasks else None
    for what in ("scores", "peak_gb", "tokens_per_second"):
        for model, methods in getattr(published, what).items():
            if model not in names["model"]:
                text = unknown("model of the suite", model, names["model"])
                yield Problem(*locate((what, model)), text)
            for method in methods:
                if method not in names["method"]:
                    text = unknown("method of the suite", method, names["method"])
                    yield Problem(*locate((what, model, method)), text)
    for model, methods in published.scores.items():
        for method, scores in methods.items():
            for benchmark in scores:
                place = locate(("scores", model, method, benchmark))
                if benchmark == AVERAGE:
                    if num_tasks > 1:
                        yield Problem(*place, "of which task? A suite that has it has one task")
                elif benchmarks is not None and benchmark not in benchmarks:
                    what = "benchmark of the suite"
                    yield Problem(*place, unknown(what, benchmark, {*benchmarks, AVERAGE}))


def benchmark_names(tasks: Sequence[Entry[TaskConfig]]) -> set[str] | None:
    """The names under which the tasks' benchmarks are reported; None if one cannot be read."""
    from lwft_bench.data.benchmarks import load_benchmark

    try:
        return {
            load_benchmark(str(task.folder / Path(name))).name if is_path(name) else name
            for task in tasks
            for name in task.config.benchmarks
        }
    except UserError:  # told where the task is checked
        return None
