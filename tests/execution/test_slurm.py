"""Jobs of a Slurm queue, on submitit's local executor and on a made-up sbatch."""

import os
import sys
from pathlib import Path
from typing import Any

import fake_cells
import pytest
from fake_cells import FakeSuite, results, run, undisturbed_weights

from lwft_bench.cli.jobs import job_arguments, job_options
from lwft_bench.execution.slurm import JobArray, QueuedRunner, SlurmOptions, told_place
from lwft_bench.schema.errors import UserError

pytest.importorskip("submitit", reason="comes with the extra `slurm`")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def path_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def queued(out: Path, *fates: str, step_seconds: float = 0.0, **options: Any) -> SlurmOptions:
    command = (sys.executable, fake_cells.__file__, str(out), "1", str(step_seconds), *fates)
    return SlurmOptions(command=command, cluster="local", **options)


def slurm_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, sbatch: str) -> None:
    for name, text in {"srun": "", "sbatch": sbatch, "sacct": ""}.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_jobs_do_a_suite_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fates = ("ok1", "ok2", "ok3", "raises")
    assert run(FakeSuite(fates), tmp_path, slurm=queued(tmp_path, *fates, jobs=2)) == 1
    printed = capsys.readouterr().out
    assert "in the queue: " in printed
    assert printed.count("(by another runner)") == 4
    assert (tmp_path / "ends").read_text().count("\n") == 3
    assert results(tmp_path)["ok1"].weights_digest == undisturbed_weights()


@pytest.mark.faults
def test_a_job_whose_time_is_over_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    # 24 s of cells, and 16 s for a job; the local executor queues it six times at most.
    fates = ("ok1", "ok2", "ok3")
    jobs = queued(tmp_path, *fates, step_seconds=1.0, minutes=0.6, stop_seconds=20)
    assert run(FakeSuite(fates), tmp_path, slurm=jobs) == 0
    found = results(tmp_path)
    assert {result.weights_digest for result in found.values()} == {undisturbed_weights()}
    log = "".join(path.read_text() for path in (tmp_path / "slurm").glob("*_log.*"))
    assert "Requeued job" in log
    assert "interrupted, checkpoint written" in log
    assert "goes on from its checkpoint" in log


def test_jobs_that_end_without_cells_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = SlurmOptions(command=("false",), cluster="local")
    assert run(FakeSuite(("ok",)), tmp_path, slurm=jobs) == 130
    assert "all jobs have ended, and 1 cells are left" in capsys.readouterr().out


def test_the_batch_script_is_shown_without_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "lwft-bench run S --executor slurm --jobs 4 --out x --time=240 --dry-run --seeds 0,1"
    monkeypatch.setattr("sys.argv", words.split())
    options = job_options(
        tmp_path, ["account=me", "mem=64GB"], gpus=2, jobs=4, partition="gpu", minutes=240, cpus=16
    )
    script = JobArray(options, tmp_path).script()
    for line in (
        "--account=me", "--mem=64GB", "--array=0-3%4", "--partition=gpu", "--time=240",
        "--gpus-per-node=2", "--cpus-per-task=16", "--signal=USR2@120",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script
    assert list(tmp_path.iterdir()) == []


def test_a_job_runs_the_command_without_what_asked_for_it(tmp_path: Path) -> None:
    given = "run S --executor slurm --jobs=4 --gpus 2 --out x --slurm qos=a --workers 3 --dry-run"
    assert job_arguments(given.split(), tmp_path, gpus=2) == [
        *("run", "S", "--workers", "3", "--out", str(tmp_path), "--no-wait", "--devices", "all")
    ]
    assert "--devices" not in job_arguments(["run", "S"], tmp_path, gpus=1)


def test_a_partition_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = 'echo "sbatch: error: invalid partition specified: nope" >&2; exit 1'
    slurm_on_path(tmp_path, monkeypatch, refusal)
    array = JobArray(SlurmOptions(command=("true",), partition="nope"), tmp_path / "run")
    with pytest.raises(UserError, match="Slurm refused the jobs: .*invalid partition") as raised:
        array.submit()
    assert raised.value.hint is not None and "sinfo" in raised.value.hint


def test_a_parameter_that_slurm_does_not_have_is_told(tmp_path: Path) -> None:
    options = SlurmOptions(command=("true",), more={"acount": "me"})
    with pytest.raises(UserError, match="--slurm: .*acount"):
        JobArray(options, tmp_path).script()
    with pytest.raises(UserError, match="expected KEY=VALUE, found 'account'"):
        job_options(tmp_path, ["account"], gpus=1)


def test_no_slurm_and_no_extra_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no Slurm here") as raised:
        JobArray(SlurmOptions(command=("true",)), tmp_path).submit()
    assert raised.value.hint is not None and "--dry-run" in raised.value.hint
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="needs the package submitit") as raised:
        JobArray(SlurmOptions(command=("true",)), tmp_path)
    assert raised.value.hint == "pip install 'lwft-bench[slurm]'"


def test_a_directory_that_nodes_do_not_share_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there on .*") as raised:
        QueuedRunner(["true"], tmp_path / "missing")()
    assert raised.value.hint == "give --out on a file system that all nodes share"
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/nfs nfs4 rw 0 0\n")
    warning = told_place(tmp_path / "run", mounts)
    assert warning is not None and "(ext4)" in warning
    assert told_place(tmp_path / "nfs" / "run", mounts) is None
