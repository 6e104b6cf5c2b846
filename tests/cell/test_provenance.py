import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

import lwft_bench
from lwft_bench.cell import provenance as module
from lwft_bench.cell.provenance import command_line, commit, provenance, versions
from lwft_bench.cell.selftest_verdict import write_record


def test_versions_of_what_numbers_depend_on() -> None:
    import torch

    found = versions()
    assert found["torch"] and torch.__version__.startswith(found["torch"])
    assert found["lwft-bench"] == lwft_bench.__version__
    assert set(found) == {"python", "lwft-bench", *module.DISTRIBUTIONS}
    assert all(found.values())


def test_a_missing_distribution_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISTRIBUTIONS", ("no-such-distribution",))
    assert versions()["no-such-distribution"] is None


def test_the_host_is_not_named() -> None:
    record = provenance(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert record["started"] == "2026-01-02T03:04:05+00:00"
    assert record["cpu"]
    assert record["memory_bytes"] > 2**20
    assert socket.gethostname() not in {str(value) for value in record.values()}


def test_a_result_of_an_accelerator_cites_what_was_verified_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # The distribution from PyPI is 2.13.0 and torch calls itself 2.13.0+cu130.
    monkeypatch.setattr(module, "versions", lambda: {"torch": "2.13.0"})
    write_record("NVIDIA H100", torch.__version__, [])
    started = datetime(2026, 1, 2, tzinfo=UTC)
    monkeypatch.setattr(module, "accelerator", lambda: None)
    assert "verified_devices" not in provenance(started)
    monkeypatch.setattr(module, "accelerator", lambda: "NVIDIA H100")
    found = provenance(started)
    assert (Path(__file__).parents[2] / found["verified_devices"]).exists()
    assert found["offload_engine"].startswith("self-test passed on ")


@pytest.mark.parametrize(
    ("program", "shown"),
    [("/a/bin/lwft-bench", "lwft-bench"), ("/a/lwft_bench/__main__.py", "python -m lwft_bench")],
)
def test_the_command_is_one_that_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, program: str, shown: str
) -> None:
    monkeypatch.setattr("sys.argv", [program, "run", "a b.yaml"])
    assert command_line() == f"{shown} run 'a b.yaml'"


def test_commit_and_dirty_flag_of_the_packages_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "lwft_bench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(lwft_bench, "__file__", str(package / "__init__.py"))
    assert commit() is None
    git("init", "-q")
    assert commit() is None
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert commit() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "notes.txt").write_text("outside the package")
    assert commit() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "new.py").write_text("")
    assert commit() == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_a_command_with_bytes_that_are_no_text_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["lwft-bench", "run", "caf\udce9.yaml"])
    assert command_line().encode() == "lwft-bench run 'caf\N{REPLACEMENT CHARACTER}.yaml'".encode()
