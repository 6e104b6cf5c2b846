"""Runs killed at random moments, again while they go on, while they report, or out of room.

Every one ends, by the same command, as an undisturbed one: weights, scores, report, and nothing left
behind. Cells only pretend to train here, so that there can be many; `test_kill_and_resume.py` trains.

pytest tests/faults/test_campaign.py -m faults --campaign 60 -s
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from processes import alive, children_of, server_of, until

from lwft_bench.results.made_from import is_current
from lwft_bench.results.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

HERE = Path(__file__).parent
PATH = os.pathsep.join([str(HERE), str(HERE.parent / "execution"), *sys.path])


def start(out: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "faulty_run.py"), str(out)],
        env=os.environ | {"PYTHONPATH": PATH, "FAULTY_REPORT": "0.3"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(out: Path) -> None:
    run = start(out)
    _, errors = run.communicate()
    assert run.returncode == 0, errors


def outcome(out: Path) -> dict[str, tuple[str | None, float | None]]:
    """Weights and scores; and the run left nothing undone."""
    assert is_current(out) and (out / "report.md").read_text() == "report"
    assert not (out / "stale").exists() and not any((out / "work").iterdir())
    results = RunStore(out).results()
    return {result.cell: (result.weights_digest, result.average) for result in results}


def abandoned() -> set[str]:
    """Semaphores in shared memory that no process has mapped: those of other runs are in use."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            mapped += maps.read_text()
    return {path.name for path in Path("/dev/shm").glob("sem.*") if str(path) not in mapped}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, tuple[str | None, float | None]], float]:
    out = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    finish(out)
    return outcome(out), time.monotonic() - began


def kill_some(run: subprocess.Popen[str], rng: random.Random) -> str:
    """Kills the parent, the server, a cell, or two of them at once; says which."""
    server = server_of(run.pid)
    cells = children_of(server) if server else []
    targets = {"parent": run.pid}
    if server:
        targets["server"] = server
    if cells:
        targets["cell"] = rng.choice(cells)
    chosen = rng.sample(sorted(targets), k=min(len(targets), rng.choice([1, 1, 2])))
    for target in chosen:
        os.kill(targets[target], signal.SIGKILL)
    if "parent" in chosen:
        everyone = {run.pid, *([server] if server else []), *cells}
        run.communicate()
        until(lambda: not any(map(alive, everyone)), seconds=30.0)
    return " and ".join(chosen)


def test_kills_whenever_and_however_often_change_nothing(
    undisturbed: tuple[dict[str, tuple[str | None, float | None]], float],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    expected, seconds = undisturbed
    rng, kills, kinds = random.Random(0), 0, Counter[str]()
    before = abandoned()
    number = 0
    while kills < request.config.getoption("--campaign"):
        number += 1
        out = tmp_path / str(number)
        for attempt in range(rng.choice([1, 2, 3])):  # the later ones while it goes on, or reports
            run = start(out)
            try:
                run.communicate(timeout=rng.uniform(0.0, 1.1 * seconds))
            except subprocess.TimeoutExpired:
                kinds[f"{kill_some(run, rng)}, attempt {attempt + 1}"] += 1
                kills += 1
                if run.poll() is None:
                    _, errors = run.communicate()
                    assert run.returncode in (0, 1), errors
        finish(out)
        assert outcome(out) == expected, f"run {number}"
    print(kinds)
    until(lambda: abandoned() <= before, seconds=30.0)


@pytest.mark.parametrize("process", ["parent", "cell"])
def test_a_disk_that_fills_at_each_write(
    undisturbed: tuple[dict[str, tuple[str | None, float | None]], float],
    tmp_path: Path,
    process: str,
) -> None:
    expected, _ = undisturbed
    for write in range(1, 200):
        out = tmp_path / str(write)
        run = start(out, FAULTY_WRITE=f"{process}:{write}", FAULTY_REPORT="0")
        _, errors = run.communicate()
        assert "Traceback" not in errors, errors
        if run.returncode == 0:
            break
        assert run.returncode in (2, 130), (write, run.returncode, errors)
        statuses = [path.read_text() for path in out.glob("cells/*/result.json")]
        assert all('"status": "done"' in text for text in statuses), "room is no cell's fault"
        finish(out)
        assert outcome(out) == expected, f"write {write}"
    print(f"{process}: {write - 1} writes found no room")
    assert write > 5
