"""Answers of untrained models, kept in the cache for other runs: one file for each `score_key`.

A file appears whole or not at all and is read as somebody else's is. Texts of benchmarks are not in it:
whoever takes answers has the items.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lwft_bench.data.benchmarks import BenchmarkConfig
from lwft_bench.data.examples import Item
from lwft_bench.results.atomic import replace_file
from lwft_bench.schema.regular_files import MAX_JSON_BYTES, Unreadable, read_packed_record
from lwft_bench.schema.result import AnswerEngine, EarlierEvaluation, Record
from lwft_bench.schema.rows import SampleRow
from lwft_bench.schema.run import digest_of
from lwft_bench.schema.strict_reading import record_from_json

MAX_KEPT_BYTES = 2**28
"""Of all files together. Those that were not used for longest go first."""
_UNFINISHED_SECONDS = 24 * 3600
"""What is being written for so long was left behind."""
_FILE = re.compile(r"[0-9a-f]{64}\.json\.gz")
_UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.json\.gz-[0-9a-f]{32}\.partial")


class KeptAnswer(Record):
    """What a model answered to one item."""

    benchmark: str
    id: str
    response: str
    prediction: str | None
    correct: bool


class KeptScores(Record):
    """A file's content."""

    facts: dict[str, Any]
    """What the answers depend on."""
    origin: EarlierEvaluation
    rows_together: str | None
    engine: AnswerEngine | None
    answers: list[KeptAnswer]
    """In the order of the samples."""


class NotTaken(ValueError):
    """A file that is there and is not what it should be; its text says why, and names no place."""


def take(
    folder: Path, facts: Mapping[str, Any], asked: Mapping[BenchmarkConfig, Sequence[Item]]
) -> tuple[KeptScores, list[SampleRow]] | None:
    """What was kept under these facts, and the samples that it makes with the items; None: nothing.

    Raises:
        NotTaken: The file is damaged, or is of something else.
    """
    path = _path(folder, facts)
    if not os.path.lexists(path):
        return None
    try:
        kept = KeptScores.model_validate(record_from_json(read_packed_record(path, MAX_JSON_BYTES)))
    except Unreadable as error:
        raise NotTaken(error.reason) from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise NotTaken(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise NotTaken(f"no JSON: {str(error)[:100]}") from None
    if kept.facts != facts or kept.origin.key != digest_of(facts):
        raise NotTaken("its content is that of other answers")
    samples = _samples(kept.answers, asked)
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)
    return kept, samples


def keep(folder: Path, kept: KeptScores) -> None:
    """Keeps them in place of what was kept of the same facts. A folder that cannot be written to, or
    has no room, costs nothing else.
    """
    text = json.dumps(kept.model_dump(mode="json"), allow_nan=False)
    path = _path(folder, kept.facts)
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}.partial")
    if len(text) > MAX_JSON_BYTES:
        return
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, gzip.compress(text.encode(), mtime=0), partial, sync=False)
        _make_room(folder)


def _path(folder: Path, facts: Mapping[str, Any]) -> Path:
    return folder / f"{digest_of(facts)}.json.gz"


def _samples(
    answers: Sequence[KeptAnswer], asked: Mapping[BenchmarkConfig, Sequence[Item]]
) -> list[SampleRow]:
    """Raises NotTaken where they are not one answer to each item."""
    items = {(benchmark.name, item.id): item for benchmark in asked for item in asked[benchmark]}
    answered = [(answer.benchmark, answer.id) for answer in answers]
    if len(answered) != len(items) or set(answered) != items.keys():
        raise NotTaken("its answers are not those to the items")
    return [
        SampleRow(
            **answer.model_dump(), prompt=item.prompt, answer=item.answer, cluster=item.cluster
        )
        for answer in answers
        for item in [items[answer.benchmark, answer.id]]
    ]


def _make_room(folder: Path) -> None:
    """Removes what is too much, and what a process that died left behind; no other file."""
    found = []
    for entry in os.scandir(folder):
        if not entry.is_file(follow_symlinks=False):
            continue
        status = entry.stat(follow_symlinks=False)
        if _FILE.fullmatch(entry.name):
            found.append((status.st_mtime, status.st_size, entry.path))
        elif _UNFINISHED.fullmatch(entry.name) and (
            status.st_mtime < time.time() - _UNFINISHED_SECONDS
        ):
            Path(entry.path).unlink(missing_ok=True)
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > MAX_KEPT_BYTES:
            Path(path).unlink(missing_ok=True)
