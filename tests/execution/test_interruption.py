import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_cells
import pytest
from fake_cells import results, undisturbed_weights
from processes import alive, parent_of, server_of, until

from lwft_bench.results.store import RunStore

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 0.2


def start(
    out: Path, *fates: str, step_seconds: float = STEP_SECONDS, preload: str = ""
) -> subprocess.Popen[str]:
    """A run of fake cells, two at a time, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, fake_cells.__file__, str(out), "2", str(step_seconds), *fates],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "FAKE_PRELOAD": preload},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was printed."""
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def pids(out: Path) -> list[int]:
    """Processes of cells that were ever started and are not done."""
    files = (out / "work").glob("*/starts")
    return [int(pid) for file in files for pid in file.read_text().split()]


def both_in_the_middle(out: Path) -> bool:
    return len({path.parent for path in (out / "work").glob("*/checkpoint-*")}) == 2


def test_ctrl_c_writes_checkpoints_and_the_same_command_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, "ok", "slow", "waiting")
    until(lambda: both_in_the_middle(tmp_path))
    process.send_signal(signal.SIGINT)
    code, printed = finish(process)
    assert code == 130
    assert "stopping: 2 running cells write their checkpoints" in printed
    assert printed.count("interrupted, checkpoint written") == 2
    assert "3 of 3 cells are left, and nothing done is lost" in printed
    command = shlex.join([Path(fake_cells.__file__).name, str(tmp_path), "2", str(STEP_SECONDS)])
    assert f"to go on: {command} ok slow waiting\n" in printed

    code, printed = finish(start(tmp_path, "ok", "slow", "waiting", step_seconds=0.0))
    assert code == 0
    assert "3 cells: 1 new, 2 interrupted" in printed
    weights = {result.weights_digest for result in results(tmp_path).values()}
    assert weights == {undisturbed_weights()}


def test_sigterm_does_the_same_and_what_is_done_is_reported(tmp_path: Path) -> None:
    process = start(tmp_path, "ok", "slow", "waiting")
    waiting = tmp_path / "work" / "tiny--waiting--task--seed0"
    until(lambda: any(waiting.glob("checkpoint-*")))
    process.send_signal(signal.SIGTERM)
    code, printed = finish(process)
    assert code == 130
    assert "1 of 3 cells are left" in printed
    assert "the table" in printed
    assert (tmp_path / "report.md").exists()
    assert set(results(tmp_path)) == {"ok", "slow"}


def test_a_terminal_that_closes_does_the_same(tmp_path: Path) -> None:
    process = start(tmp_path, "ok", "slow", step_seconds=1.0)
    until(lambda: both_in_the_middle(tmp_path))
    os.killpg(process.pid, signal.SIGHUP)
    code, printed = finish(process)
    assert code == 130
    assert printed.count("interrupted, checkpoint written") == 2
    assert "Traceback" not in printed


def test_below_a_long_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has some hundred bytes."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    code, printed = finish(start(tmp_path / "run", "ok", step_seconds=0.0))
    assert (code, printed.count("Traceback")) == (0, 0)
    assert set(results(tmp_path / "run")) == {"ok"}


def test_ranks_that_a_scheduler_sets_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the address of the others there is nobody to wait for."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    code, printed = finish(start(tmp_path, "ok", step_seconds=0.0))
    assert (code, printed.count("Traceback")) == (0, 0)
    assert set(results(tmp_path)) == {"ok"}


def test_ctrl_c_reaches_the_whole_group_and_only_the_parent_acts(tmp_path: Path) -> None:
    process = start(tmp_path, "ok", "slow")
    until(lambda: both_in_the_middle(tmp_path))
    os.killpg(process.pid, signal.SIGINT)
    code, printed = finish(process)
    assert code == 130
    assert printed.count("interrupted, checkpoint written") == 2
    assert "Traceback" not in printed


@pytest.mark.faults
def test_a_second_request_kills_cells_that_do_not_heed_the_first(tmp_path: Path) -> None:
    process = start(tmp_path, "deaf", step_seconds=0.4)
    until(lambda: len(list((tmp_path / "work").glob("*/checkpoint-*"))) > 0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, printed = finish(process)
    assert code == 130
    assert "killed, goes on from its last checkpoint" in printed
    assert finish(start(tmp_path, "deaf", step_seconds=0.0))[0] == 0
    assert results(tmp_path)["deaf"].weights_digest == undisturbed_weights()


@pytest.mark.faults
def test_a_cell_that_does_not_heed_a_stop_request_is_killed_in_the_end(tmp_path: Path) -> None:
    process = start(tmp_path, "hang", step_seconds=0.05)
    until(lambda: len(list((tmp_path / "work").glob("*/checkpoint-000004"))) > 0)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130


@pytest.mark.parametrize(
    "fates", [("ok", "slow"), pytest.param(("busy-once", "hang-once"), marks=pytest.mark.faults)]
)
def test_killing_the_parent_leaves_no_orphans_and_the_same_command_goes_on(
    tmp_path: Path, fates: tuple[str, str]
) -> None:
    process = start(tmp_path, *fates)
    until(lambda: both_in_the_middle(tmp_path))
    if fates[0] != "ok":
        time.sleep(3 * STEP_SECONDS)  # so that one never lets go of the GIL again
    cells = pids(tmp_path)
    server = server_of(process.pid)
    assert server is not None
    assert [parent_of(pid) for pid in cells] == [server, server]
    assert all(map(alive, [*cells, server]))
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, [*cells, server])), seconds=10.0)
    process.communicate()

    assert finish(start(tmp_path, *fates, step_seconds=0.0))[0] == 0
    weights = [result.weights_digest for result in results(tmp_path).values()]
    assert weights == [undisturbed_weights()] * 2


@pytest.mark.parametrize("target", ["cell", "server"])
def test_killing_a_cell_or_the_server_is_mended_within_the_run(tmp_path: Path, target: str) -> None:
    process = start(tmp_path, "ok", "slow", step_seconds=1.0)  # outlasts another server's start
    until(lambda: both_in_the_middle(tmp_path))
    cells = pids(tmp_path)
    victim = cells[0] if target == "cell" else parent_of(cells[0])
    os.kill(victim, signal.SIGKILL)
    code, printed = finish(process)
    assert code == 0
    killed = 1 if target == "cell" else 2
    assert printed.count("its process was killed; starting it again") == killed
    assert printed.count("goes on from its checkpoint") == killed
    assert not any(map(alive, cells))
    weights = [result.weights_digest for result in results(tmp_path).values()]
    assert weights == [undisturbed_weights()] * 2


@pytest.mark.faults
def test_a_server_that_is_killed_while_it_loads_is_started_again(tmp_path: Path) -> None:
    process = start(tmp_path, "ok", step_seconds=0.0, preload="slow_to_import")
    until(lambda: server_of(process.pid) is not None)
    server = server_of(process.pid)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    code, printed = finish(process)
    assert (code, printed.count("Traceback")) == (0, 0)
    assert results(tmp_path)["ok"].weights_digest == undisturbed_weights()


def test_a_result_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Looked at all the time while cells end, no folder in cells/ is ever without its result."""
    process = start(tmp_path, *(f"ok{number}" for number in range(8)), step_seconds=0.0)
    store = RunStore(tmp_path)
    seen = 0
    while process.poll() is None:
        for folder in (tmp_path / "cells").glob("*"):
            assert store.read_result(folder.name).status == "done"
            assert (folder / "cell.log").exists()
            seen += 1
        time.sleep(0.005)
    assert finish(process)[0] == 0
    assert seen > 8
