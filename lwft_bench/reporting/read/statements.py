"""Files of tables and of claims, and the numbers of papers that suites quote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.schema.base import Config
from lwft_bench.schema.claims import Claim, ClaimsFile
from lwft_bench.schema.documents import Document, read_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import ConfigError, KeyPath, Locate, Problem, format_key, validate
from lwft_bench.schema.shipped import is_path, shipped, shipped_statements
from lwft_bench.schema.suite import Published
from lwft_bench.schema.tables import TablesFile, TableSpec

_File = TypeVar("_File", bound=Config)


@dataclass(frozen=True)
class Quoted:
    """Numbers that a suite quotes. task: what they are of; None where the suite has several."""

    published: Published
    task: str | None


@dataclass(frozen=True)
class WrittenTable:
    """A table as somebody wrote it, where each key stands, and what its paths are relative to."""

    name: str
    spec: TableSpec
    locate: Locate
    folder: Path


def read_tables(name: str) -> dict[str, WrittenTable]:
    """The tables of a file, or of a shipped one such as `paper/tables`.

    Raises:
        UserError: There is none, or with all that is wrong in it.
    """
    path = _find(name, "tables")
    document, file = _read(path, TablesFile)
    return {
        table: WrittenTable(table, spec, _locate_in(document, ("tables", table)), path.parent)
        for table, spec in file.tables.items()
    }


def recorded_tables(records: RunRecords) -> dict[str, WrittenTable]:
    """Those of the suite, as its run noted them."""
    where = str(records.folder / "suite.json")

    def locate_under(table: str) -> Locate:
        return lambda path: (where, format_key(("tables", table, *path)))

    return {
        table: WrittenTable(table, spec, locate_under(table), records.folder)
        for table, spec in records.tables.items()
    }


def read_claims(name: str) -> tuple[Claim, ...]:
    """The claims of a file, or of a shipped one such as `paper/claims`; a suite's file will do too.

    Raises:
        UserError: There is none, or with all that is wrong in it.
    """
    path = _find(name, "claims")
    _, file = _read(path, ClaimsFile)
    return file.claims


def quoted_by_runs(runs: Sequence[RunRecords]) -> list[Quoted]:
    """Of the suites that were run, each once."""
    found = []
    for run in runs:
        tasks = {cell.task for cell in run.cells}
        if run.published is not None:
            found.append(Quoted(run.published, next(iter(tasks)) if len(tasks) == 1 else None))
    return [one for n, one in enumerate(found) if one not in found[:n]]


def quoted_by_suites(table: WrittenTable) -> list[Quoted]:
    """Of the suites that the table names.

    Raises:
        ConfigError: With all that are not there or quote nothing.
    """
    names = table.spec.published
    assert isinstance(names, tuple)
    quoted, problems = [], []
    for index, name in enumerate(names):
        where, key = table.locate(("published", index))
        path = table.folder / name if is_path(name) else shipped("suites").get(name)
        if path is None or not path.is_file():
            text = f"{name}: no such file" if path else unknown("suite", name, shipped("suites"))
            problems.append(Problem(where, key, text, "lwft-bench list suites"))
            continue
        document = read_document(path)
        value = document.value.get("published") if isinstance(document.value, dict) else None
        if value is None:
            problems.append(Problem(where, key, f"suite {name!r} quotes no published numbers"))
            continue
        published, wrong = validate(Published, value, _locate_in(document, ("published",)))
        problems += wrong
        if published is not None:
            quoted.append(Quoted(published, _only_task(document.value)))
    if problems:
        raise ConfigError(problems)
    return quoted


def _only_task(suite: Mapping[str, Any]) -> str | None:
    tasks = suite.get("tasks")
    if not isinstance(tasks, list) or len(tasks) != 1:
        return None
    name = tasks[0].get("name") if isinstance(tasks[0], dict) else tasks[0]
    return Path(str(name)).name.removesuffix(".yaml")


def _find(name: str, stem: str) -> Path:
    """A path wins over a shipped file's name."""
    path, known = Path(name), shipped_statements(stem)
    if path.is_file():
        return path
    if name in known:
        return known[name]
    if is_path(name) or ("/" in name and not known):
        raise UserError(f"{name}: no such file")
    raise UserError(
        unknown(f"file of {stem}", name, known), f"A path of a YAML file with `{stem}:`."
    )


def _read(path: Path, model: type[_File]) -> tuple[Document, _File]:
    """Other keys are left aside in a suite's file, which has `models`, and are errors elsewhere."""
    document = read_document(path)
    value = document.value
    if isinstance(value, dict) and "models" in value:
        value = {key: each for key, each in value.items() if key in model.model_fields}
    file, problems = validate(model, value, _locate_in(document, ()))
    if file is None:
        raise ConfigError(problems)
    return document, file


def _locate_in(document: Document, prefix: KeyPath) -> Locate:
    def locate(path: KeyPath) -> tuple[str, str]:
        full = (*prefix, *path)
        return document.where(full), format_key(full)

    return locate


def names_of(runs: RunRecords, quoted: Sequence[Quoted]) -> dict[str, set[str]]:
    """All models, methods, tasks and benchmarks of runs and of quoted numbers, and shipped ones, which
    these runs may just not have.
    """
    names: dict[str, set[str]] = {
        "model": {cell.model for cell in runs.cells},
        "method": {*shipped("methods"), *(cell.method for cell in runs.cells)},
        "task": {*shipped("tasks"), *(cell.task for cell in runs.cells)},
        "benchmark": {*shipped("benchmarks"), *_benchmarks(runs)},
    }
    for one in quoted:
        for by_model in (one.published.scores, one.published.peak_gb):
            names["model"] |= by_model.keys()
            for methods in by_model.values():
                names["method"] |= methods.keys()
        for methods in one.published.scores.values():
            names["benchmark"] |= {name for scores in methods.values() for name in scores}
        if one.task is not None:
            names["task"].add(one.task)
    return names


def _benchmarks(runs: RunRecords) -> Iterator[str]:
    for cell in runs.cells:
        if cell.result is not None:
            yield from (score.benchmark for score in cell.result.scores)
