"""Real runs, killed at random moments, end with the weights of an undisturbed run.

pytest tests/faults -m faults --kills 20 -s
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, children_of, server_of, until

from lwft_bench.results.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "suites" / "smoke.yaml"


def start(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lwft_bench", "run", str(SUITE), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def weights(out: Path) -> dict[str, str | None]:
    return {result.cell: result.weights_digest for result in RunStore(out).results()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str | None], float]:
    """Weights of all cells, and how long the run took."""
    out = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert start(out).wait() == 0
    return weights(out), time.monotonic() - began


def kill_one(run: subprocess.Popen[bytes], rng: random.Random) -> str | None:
    """Kill the parent, the server or a cell of a run; says which, None if it has ended."""
    if run.poll() is not None:
        return None
    server = server_of(run.pid)
    cells = children_of(server) if server else []
    everyone = {run.pid, *([server] if server else []), *cells}
    targets = {"parent": run.pid}
    if server:
        targets["server"] = server
    if cells:
        targets["cell"] = rng.choice(cells)
    target = rng.choice(sorted(targets))
    os.kill(targets[target], signal.SIGKILL)
    if target == "parent":
        run.wait()
        until(lambda: not any(map(alive, everyone)), seconds=15.0)
    return target


def test_kills_at_random_moments_change_no_weight(
    undisturbed: tuple[dict[str, str | None], float],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    expected, seconds = undisturbed
    assert len(expected) > 1
    assert all(expected.values())
    rng = random.Random(0)
    kills = 0
    while kills < request.config.getoption("--kills", 3):
        out = tmp_path / str(kills)
        moment = rng.uniform(0.0, seconds)
        run = start(out)
        try:
            run.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            target = kill_one(run, rng)
        else:
            target = None
        if target is None:  # this run was over sooner than the undisturbed one
            continue
        kills += 1
        left = sorted(path.name for path in out.glob("work/*/checkpoint-*"))
        print(f"kill {kills}: {target} after {moment:.1f} s of {seconds:.1f} s; {left}")
        if target == "parent":
            run = start(out)
        assert run.wait() == 0
        assert weights(out) == expected, f"kill {kills}: {target} after {moment:.1f} s"
        assert not (out / "stale").exists()
