"""Cells run for another machine: orders by files, and a host that runs one cell after another."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fake_cells import FakeSuite, undisturbed_weights
from processes import alive, until

from lwft_bench.execution.attempts import SETTLE_SECONDS, Attempts, give, order_of
from lwft_bench.execution.host import HostedJob, Told
from lwft_bench.execution.ray_task import run_hosted
from lwft_bench.execution.worker import Job
from lwft_bench.results.claims import Claims
from lwft_bench.results.reading import read_result_file
from lwft_bench.results.store import RESULT, RunStore

ROOT = Path(__file__).parents[2]
CELL = FakeSuite(("ok",)).cells[0]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def test_orders_reach_an_attempt_until_it_is_over(tmp_path: Path, claims: Claims) -> None:
    attempts = Attempts(tmp_path, lambda: claims.own_file)
    attempt = attempts.begin(CELL)
    assert order_of(attempt) == "go"
    give(attempt, "tell and end")
    give(attempt, "stop")
    assert order_of(attempt) == "stop"
    attempts.end(attempt, seen=True)
    give(attempt, "stop")
    assert order_of(attempt) is None
    assert not attempt.parent.exists()
    assert attempts.is_settled(CELL)


def test_a_cell_whose_end_nobody_saw_begins_anew_after_a_while(
    tmp_path: Path, claims: Claims
) -> None:
    clock = Clock()
    attempts = Attempts(tmp_path, lambda: claims.own_file, clock)
    attempts.end(attempts.begin(CELL), seen=False)
    assert not attempts.is_settled(CELL)
    clock.now = SETTLE_SECONDS
    assert attempts.is_settled(CELL)


def test_what_a_dead_runner_began_is_taken_back_and_what_a_living_one_did_is_not(
    tmp_path: Path, claims: Claims
) -> None:
    clock, other = Clock(), Claims(tmp_path)
    attempt = Attempts(tmp_path, lambda: other.own_file).begin(CELL)
    attempts = Attempts(tmp_path, lambda: claims.own_file, clock)
    assert attempts.is_settled(CELL)
    assert order_of(attempt) == "go"
    other.own_file.unlink()
    assert not attempts.is_settled(CELL)
    assert order_of(attempt) is None
    clock.now = SETTLE_SECONDS
    assert attempts.is_settled(CELL)


@pytest.fixture
def host() -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    ours, theirs = Pipe()
    program = "from lwft_bench.execution.host import serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    )
    theirs.close()
    yield process, ours
    ours.close()
    process.wait()


def hosted(out: Path, runner: Path, fate: str, step_seconds: float = 0.0) -> HostedJob:
    suite = FakeSuite((fate,), step_seconds)
    (cell,) = suite.cells
    store = RunStore(out)
    record = store.begin(cell, suite.identity(cell), 1)
    job = Job(cell, record, store.work_folder(cell.id), "fake_cells:run_cell", False, runner)
    attempt = Attempts(out, lambda: runner).begin(cell)
    preload = ("lwft_bench.execution.worker",)
    return HostedJob(job, attempt, preload, ("lwft-bench", "run"), out, {"GIVEN": "1"})


def last(connection: Connection) -> Told:
    told: Told = connection.recv()
    while told.ended is None:
        told = connection.recv()
    return told


def test_a_host_runs_cells_and_their_ends_reach_no_further(
    tmp_path: Path, claims: Claims, host: tuple[subprocess.Popen[bytes], Connection]
) -> None:
    process, connection = host
    for fate, exitcode in (("exit", 7), ("segfault", -signal.SIGSEGV), ("ok", 0)):
        job = hosted(tmp_path, claims.own_file, fate)
        connection.send(job)
        ended = last(connection).ended
        assert ended is not None and (ended.exitcode, ended.lost) == (exitcode, "")
    assert process.poll() is None
    result = read_result_file(job.job.folder / RESULT)
    assert result.weights_digest == undisturbed_weights()
    assert result.provenance["command"] == "lwft-bench run"


def test_a_hosted_cell_stops_at_its_checkpoint_and_ends_without_its_attempt(
    tmp_path: Path, claims: Claims, host: tuple[subprocess.Popen[bytes], Connection]
) -> None:
    connection = host[1]
    job = hosted(tmp_path, claims.own_file, "ok", step_seconds=0.2)
    connection.send(job)
    until(lambda: bool(list(job.job.folder.glob("checkpoint-*"))))
    give(job.attempt, "stop")
    ended = last(connection).ended
    assert ended is not None and ended.interrupted
    again = hosted(tmp_path, claims.own_file, "ok", step_seconds=0.2)
    connection.send(again)
    until(lambda: len((again.job.folder / "starts").read_text().split()) == 2)
    again.attempt.unlink()
    ended = last(connection).ended
    assert ended is not None and ended.exitcode == -signal.SIGKILL and ended.killed_from_outside


def test_a_host_and_its_cell_die_with_whoever_asked(
    tmp_path: Path, claims: Claims, host: tuple[subprocess.Popen[bytes], Connection]
) -> None:
    process, connection = host
    job = hosted(tmp_path, claims.own_file, "hang")
    connection.send(job)
    until(lambda: (job.job.folder / "starts").exists())
    (pid,) = map(int, (job.job.folder / "starts").read_text().split())
    connection.close()
    until(lambda: not alive(pid) and process.poll() is not None, seconds=10.0)


def test_a_task_ends_where_its_run_is_not_to_be_seen(tmp_path: Path, claims: Claims) -> None:
    job = hosted(tmp_path, claims.own_file, "ok")
    job = replace(job, job=replace(job.job, runner=tmp_path / "not shared"))
    (told,) = [pickle.loads(one) for one in run_hosted(job, ())]
    assert told.ended.lost.endswith("the run is over, or not shared")
