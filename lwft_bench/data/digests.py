"""What a task's examples and items depend on, in a number each. Nothing is generated or parsed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lwft_bench.data.benchmarks import DOCUMENTATION, BenchmarkConfig, JsonlItems
from lwft_bench.data.generators import generator_files
from lwft_bench.data.hub import commit_of
from lwft_bench.data.instructions import InstructionItems, InstructionRows, item_file
from lwft_bench.data.items import benchmarks_of
from lwft_bench.data.sources import Source, source_of
from lwft_bench.schema.base import Config
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.shipped import is_path


def data_digest(task: TaskConfig) -> str:
    """sha256 (hex) over everything the task's examples depend on.

    Counts and options, and the bytes of the data files, the commit on the hub, or the generator's
    source; those of the benchmarks only where their questions are dropped from training. Neither where
    files lie nor a default that is spelt out makes a difference. Nothing is generated or parsed.
    """
    source = source_of(task)
    hubs = [source.hub] if isinstance(source, InstructionRows) else []
    facts: dict[str, Any] = {
        "data": task.data,
        "options": _options(source),
        "train_examples": task.train_examples,
        "validation_examples": task.validation_examples,
        "profile": task.profile,
        "hub": [commit_of(hub) for hub in hubs if hub is not None],
    }
    if task.chat_template:
        facts["chat_template"] = task.chat_template_options or True
    if task.permute_targets:
        facts["permute_targets"] = True
    if task.drop_test_questions != "none":
        facts["drop_test_questions"] = [task.drop_test_questions, benchmarks_digest(task)]
    return _digest(facts, source.files())


def benchmarks_digest(task: TaskConfig) -> str:
    """sha256 (hex) over everything the task's items depend on, in the same way."""
    benchmarks = benchmarks_of(task)
    files: list[Path] = []
    hubs = []
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
            files.extend(generator_files(benchmark.source.name))
    facts: dict[str, Any] = {
        "items_per_benchmark": task.items_per_benchmark,
        "benchmarks": list(map(_definition, benchmarks, task.benchmarks)),
        "hub": [commit_of(hub) for hub in hubs if hub is not None],
    }
    return _digest(facts, files)


def _options(source: Source) -> dict[str, Any]:
    """What a source was asked for beside its defaults; files by what is in them."""
    assert isinstance(source, Config)
    files = {key: value for key, value in source if isinstance(value, Path)}
    asked = source.model_dump(mode="json", exclude_defaults=True, exclude=set(files))
    return asked | {key: _content_digest(path) for key, path in files.items()}


def _digest(facts: dict[str, Any], files: Iterable[Path]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for path in dict.fromkeys(files):
        digest.update(bytes.fromhex(_content_digest(path)))
    return digest.hexdigest()


def _definition(benchmark: BenchmarkConfig, name: str) -> dict[str, Any]:
    """Without where its items lie and, of the user's own, without words about it.

    name: as the task has it. Definitions without a pattern of their own once did not have that key.
    """
    excluded: dict[str, Any] = {"source": {"path"}}
    if is_path(name):
        excluded |= dict.fromkeys(DOCUMENTATION, True)
    facts = benchmark.model_dump(mode="json", exclude=excluded)
    for rules in (facts, facts.get("published") or {}):
        if rules.get("pattern", "") is None:
            del rules["pattern"]
    return facts


def _content_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
