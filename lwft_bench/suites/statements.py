"""`tables:` and `claims:` of a suite: what is wrong with them for this suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.claims import Claim, claim_problems
from lwft_bench.schema.documents import Document
from lwft_bench.schema.problems import Problem, validate
from lwft_bench.schema.tables import TableSpec, table_problems
from lwft_bench.suites.entries import Entry, locate_in
from lwft_bench.suites.published import benchmark_names


def statement_problems(
    document: Document, models: set[str], methods: set[str], tasks: Sequence[Entry[TaskConfig]]
) -> Iterator[Problem]:
    """Models, methods, tasks and benchmarks that the suite has not.

    What is no table or no claim at all is told of the whole suite.

    Args:
        models: Names, those of entries that could not be read included; so are `methods`.
        tasks: Those that could be read. Where one is missing, tasks and benchmarks are not checked.
    """
    names = {"model": models, "method": methods}
    written = document.value.get("tasks")
    if isinstance(written, list) and len(written) == len(tasks):
        names["task"] = {task.config.name for task in tasks}
        benchmarks = benchmark_names(tasks)
        if benchmarks is not None:
            names["benchmark"] = benchmarks
    tables, claims = document.value.get("tables"), document.value.get("claims")
    for name, value in tables.items() if isinstance(tables, dict) else ():
        locate = locate_in(document, ("tables", str(name)))
        spec, _ = validate(TableSpec, value, locate)
        if spec is not None and not isinstance(spec.published, tuple):
            yield from table_problems(spec, names, locate)
    for index, value in enumerate(claims if isinstance(claims, list) else ()):
        locate = locate_in(document, ("claims", index))
        claim, _ = validate(Claim, value, locate)
        if claim is not None:
            yield from claim_problems(claim, names, locate)
