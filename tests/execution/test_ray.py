"""Cells on a Ray cluster: one of three worker nodes on this machine, and what is said without one."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_cells
from fake_cells import FakeSuite, results, run, undisturbed_weights
from processes import children_of, until

from lwft_bench.execution.ray_cluster import Cluster, PartOfNode, RayOptions
from lwft_bench.results.store import RunStore
from lwft_bench.schema.errors import UserError

ROOT = Path(__file__).parents[2]
FATES = tuple(f"ok{number}" for number in range(24))
KILLS = 20
NODES, CPUS = 3, 2


def test_an_extra_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="needs the package ray") as raised:
        Cluster(RayOptions())
    assert raised.value.hint == "pip install 'lwft-bench[ray]'"


def test_devices_of_one_machine_are_not_shared_out_on_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are for the devices of one machine"):
        run(FakeSuite(("ok",)), tmp_path, ray=RayOptions(), devices="all")


@pytest.mark.parametrize(
    ("share", "number"),
    [(PartOfNode(2, 0), 4), (PartOfNode(2, 1), 3), (PartOfNode(2, 0.5), 4), (PartOfNode(9, 0), 0)],
)
def test_a_node_has_room_for_so_many(share: PartOfNode, number: int) -> None:
    assert share.number_on({"CPU": 8.0, "GPU": 3.0}) == number


def test_a_cluster_that_is_not_there_is_told() -> None:
    pytest.importorskip("ray", reason="comes with the extra `ray`")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address, message in {
        f"127.0.0.1:{port}": "no Ray cluster to be joined at .*refused",
        "nonsense": "no Ray cluster to be joined at nonsense: Invalid address",
        "ray://here:10001": "a Ray client cannot hear cells",
    }.items():
        with pytest.raises(UserError, match=message) as raised:
            Cluster(RayOptions(address=address))
        assert raised.value.hint


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without a CPU, and three worker nodes."""
    utils = pytest.importorskip("ray.cluster_utils", reason="comes with the extra `ray`")
    os.environ["PYTHONPATH"] = f"{ROOT}:{Path(__file__).parent}"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000}
    )
    for _ in range(NODES):
        add_node(made)
    yield made
    made.shutdown()


def add_node(cluster: Any) -> None:
    cluster.add_node(num_cpus=CPUS, object_store_memory=80_000_000)


def start(
    cluster: Any, out: Path, *fates: str, step_seconds: float = 0.5
) -> subprocess.Popen[bytes]:
    program = [sys.executable, ray_cells.__file__, cluster.address, str(out), str(step_seconds)]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "printed").open("w") as printed:  # where one can look at it while it runs
        return subprocess.Popen([*program, *fates], stdout=printed, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], out: Path) -> tuple[int, str]:
    return process.wait(timeout=600), (out / "printed").read_text()


def checkpoints(out: Path) -> list[Path]:
    return list((out / "work").glob("*/checkpoint-*"))


def require_all_done_once(out: Path, fates: tuple[str, ...], printed: str) -> None:
    ends = Counter((out / "ends").read_text().split())
    assert ends == Counter({f"tiny--{fate}--task--seed0": 1 for fate in fates}), printed
    found = results(out)
    assert {one.status for one in found.values()} == {"done"}, printed
    assert {one.weights_digest for one in found.values()} == {undisturbed_weights()}, printed
    assert not list((out / "work").iterdir())
    assert not (out / "attempts").exists()
    assert not (out / "claims").exists()


on_a_cluster = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1800)]


class TestOnACluster:
    pytestmark = on_a_cluster

    def test_cells_end_as_they_do_here(self, cluster: Any, tmp_path: Path) -> None:
        fates = ("ok", "raises", "exit", "killed", "killed-once", "segfault", "memory", "thread")
        out = tmp_path / "ray"
        code, printed = finish(start(cluster, out, *fates, step_seconds=0.0), out)
        assert code == 1, printed
        assert run(FakeSuite(fates), tmp_path / "here", workers=2) == 1
        there, here = results(out), results(tmp_path / "here")
        for fate in fates:
            assert there[fate].status == here[fate].status
            assert there[fate].weights_digest == here[fate].weights_digest
            if (failure := here[fate].failure) is not None:
                assert there[fate].failure is not None
                assert there[fate].failure.error == failure.error
        starts = (RunStore(out).cell_folder("tiny--exit--task--seed0") / "starts").read_text()
        assert len(starts.split()) == 1  # what is the cell's own doing is not tried again

    def test_a_directory_that_nodes_do_not_share_is_told(
        self, cluster: Any, tmp_path: Path
    ) -> None:
        code = (
            "from pathlib import Path; from lwft_bench.execution.ray_cluster import *\n"
            f"one = Cluster(RayOptions(address={cluster.address!r}, cpus=1))\n"
            f"assert one.require_fit([Path({str(tmp_path)!r})]) == []\n"
            f"try: one.require_fit([Path({str(tmp_path / 'elsewhere')!r})])\n"
            "except UserError as error: print(error.message, error.hint)\n"
            f"one = Cluster(RayOptions(address={cluster.address!r}, cpus=50))\n"
            "try: one.require_fit([])\n"
            "except UserError as error: print(error.message, error.hint)\n"
        )
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert printed.returncode == 0, printed.stderr
        assert f"{tmp_path / 'elsewhere'} is not there on node" in printed.stdout
        assert "on a file system that all nodes share" in printed.stdout
        assert "no node of the Ray cluster has 50 CPUs and 0 GPUs" in printed.stdout

    def test_a_real_run_gives_the_weights_and_scores_of_one_here(
        self, cluster: Any, tmp_path: Path
    ) -> None:
        places = {
            "here": ["--workers", "2"],
            "ray": ["--executor", "ray", "--address", cluster.address, "--cpus", "1"],
        }
        for name, words in places.items():
            command = [
                sys.executable,
                "-m",
                "lwft_bench",
                "run",
                "suites/smoke.yaml",
                "--seeds",
                "0,1,2,3,4,5",
                "--no-timing",
            ]
            done = subprocess.run(
                [*command, "--out", str(tmp_path / name), *words],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        here, there = (RunStore(tmp_path / name).results() for name in places)
        assert len(here) == len(there) == 25
        for one, other in zip(here, there, strict=True):
            assert one.weights_digest and one.weights_digest == other.weights_digest
            assert one.scores == other.scores
            assert one.average == other.average
            assert one.provenance["commit"] == other.provenance["commit"]

    def test_ctrl_c_stops_cells_at_their_checkpoints(self, cluster: Any, tmp_path: Path) -> None:
        fates = FATES[:6]
        process = start(cluster, tmp_path, *fates, step_seconds=1.0)
        until(lambda: len({path.parent for path in checkpoints(tmp_path)}) == 6)
        process.send_signal(signal.SIGINT)
        code, printed = finish(process, tmp_path)
        assert code == 130, printed
        assert printed.count("interrupted, checkpoint written") == 6, printed
        code, printed = finish(start(cluster, tmp_path, *fates, step_seconds=0.0), tmp_path)
        assert code == 0, printed
        assert printed.count("goes on from its checkpoint") == 6
        require_all_done_once(tmp_path, fates, printed)

    def test_a_driver_that_is_killed_goes_on_with_the_same_command(
        self, cluster: Any, tmp_path: Path
    ) -> None:
        fates = FATES[:8]
        process = start(cluster, tmp_path, *fates, step_seconds=1.0)
        until(lambda: len({path.parent for path in checkpoints(tmp_path)}) == 6)
        process.kill()
        process.wait()
        code, printed = finish(start(cluster, tmp_path, *fates, step_seconds=0.2), tmp_path)
        assert code == 0, printed
        assert printed.count("goes on from its checkpoint") == 6, printed
        require_all_done_once(tmp_path, fates, printed)

    def test_cells_of_killed_workers_and_nodes_go_on_elsewhere(
        self, cluster: Any, tmp_path: Path
    ) -> None:
        draw, kills, repetition = random.Random(0), Counter[str](), 0
        while kills.total() < KILLS:
            out = tmp_path / str(repetition)
            process = start(cluster, out, *FATES, step_seconds=1.0)
            until(lambda out=out: bool(checkpoints(out)))  # type: ignore[misc]
            while process.poll() is None and kills.total() < KILLS:
                time.sleep(draw.uniform(2.0, 6.0))
                if process.poll() is None and (killed := kill_one(cluster, draw)):
                    kills[killed] += 1
            code, printed = finish(process, out)
            assert code == 0, printed
            require_all_done_once(out, FATES, printed)
            print(
                f"run {repetition}: {dict(kills)} so far; "
                f"{printed.count('starting it elsewhere')} times a cell was started elsewhere, "
                f"{printed.count('goes on from its checkpoint')} from a checkpoint"
            )
            repetition += 1


def kill_one(cluster: Any, draw: random.Random) -> str | None:
    """Kill a node, which another comes for, or a worker that runs a cell."""
    if draw.random() < 0.4:
        cluster.remove_node(draw.choice(list(cluster.worker_nodes)), allow_graceful=False)
        add_node(cluster)
        return "node"
    workers = [
        pid
        for node in cluster.worker_nodes
        for pid in children_of(node.all_processes["raylet"][0].process.pid)
        if b"ray::tiny" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    if not workers:
        return None
    os.kill(draw.choice(workers), signal.SIGKILL)
    return "worker"
