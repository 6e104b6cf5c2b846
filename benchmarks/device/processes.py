"""Stages one after another, each in a process of its own that is ended at its limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.device.setting import Row
from benchmarks.device.stages import Stage

ROOT = Path(__file__).parents[2]
STAGE = Path(__file__).with_name("stage.py")
GRACE = 2.0
"""Seconds between asking a process group to end and ending it."""
PATIENCE = 6
"""A rehearsal may have a small part of one core; there limits are not what is rehearsed."""
MARGIN = 3.0
"""Seconds before its limit in which a stage should come to an end by itself."""
LEAST = 5.0
"""Seconds that a stage needs to be worth a start."""


@dataclass(slots=True)
class Outcome:
    """status: done, skipped, overran or died; `why` says more. Whatever it is, its rows stand."""

    name: str
    title: str
    status: str
    why: str
    seconds: float
    limit_seconds: float
    rows: list[Row] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Options:
    """out: where everything is written. seconds: of the whole."""

    out: Path
    device: str
    rehearse: bool
    seconds: float
    planners: int


def outcomes(stages: Sequence[Stage], options: Options) -> Iterator[Outcome]:
    """Each stage's, as soon as it is known."""
    end = time.monotonic() + options.seconds
    missing_device = ""
    for stage in stages:
        left = end - time.monotonic()
        limit = min(stage.seconds * (PATIENCE if options.rehearse else 1), left)
        lacking = [package for package in stage.needs if find_spec(package) is None]
        if missing_device:
            yield _skipped(stage, missing_device)
        elif lacking:
            yield _skipped(stage, f"not installed: {', '.join(lacking)}")
        elif left < min(LEAST, stage.seconds):
            yield _skipped(stage, f"no time left of {options.seconds:.0f} s")
        else:
            outcome = _run(stage, limit, options)
            if stage.required and outcome.status != "done":
                missing_device = f"the stage {stage.name} has {outcome.status}"
            yield outcome


def _skipped(stage: Stage, why: str) -> Outcome:
    return Outcome(stage.name, stage.title, "skipped", why, 0.0, stage.seconds)


def _run(stage: Stage, limit: float, options: Options) -> Outcome:
    folder = options.out / "stages" / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    rows, log = folder / "rows.jsonl", folder / "log.txt"
    rows.write_text("", encoding="utf-8")
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            _command(stage, limit, rows, folder, options),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(options),
            start_new_session=True,  # so that all it starts can be ended with it
        )
        try:
            code: int | None = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    seconds = time.monotonic() - started
    found, skipped = _read(rows)
    if skipped:
        status, why = "skipped", skipped
    elif code is None:
        status, why = "overran", f"ended after {limit:.0f} s; what it had found stands"
    elif code:
        status, why = "died", _why(code, log)
    else:
        status, why = "done", ""
    return Outcome(stage.name, stage.title, status, why, seconds, limit, found)


def _command(stage: Stage, limit: float, rows: Path, folder: Path, options: Options) -> list[str]:
    command = [sys.executable, str(STAGE), stage.run]
    command += ["--rows", str(rows), "--folder", str(folder), "--device", options.device]
    # The stage is to know when to stop by itself, before it is ended.
    command += [
        "--seconds",
        str(limit - min(MARGIN, limit / 10)),
        "--planners",
        str(options.planners),
    ]
    return [*command, "--rehearse"] if options.rehearse else command


def _environment(options: Options) -> dict[str, str]:
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    found = os.environ | offline | {"PYTHONPATH": path}
    if options.rehearse:  # a rehearsal's verdict is not for results to cite
        found |= {"XDG_CACHE_HOME": str(options.out.resolve() / "cache"), "OMP_NUM_THREADS": "1"}
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it has started: workers may outlive it."""
    for number, wait in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait)


def _read(path: Path) -> tuple[list[Row], str]:
    """The rows, and why the stage skipped itself. A last line that was cut off is left out."""
    rows: list[Row] = []
    skipped = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            skipped = row.get("stage skipped", skipped)
            if "table" in row:
                rows.append(row)
    return rows, skipped


def _why(code: int, log: Path) -> str:
    lines = [
        line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line
    ]
    last = lines[-1].strip() if lines else "it said nothing"
    by = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{by}: {last[:300]}"
