"""A Ray cluster, as a run sees it: joined, looked at, and asked what its nodes have room for."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lwft_bench
from lwft_bench.cell.provenance import versions
from lwft_bench.execution.ray_task import Node, look_at_node
from lwft_bench.plugins.extras import import_extra
from lwft_bench.schema.errors import UserError

_CARRIED = ("HF_", "LWFT_BENCH_", "TRANSFORMERS_", "TOKENIZERS_", "PYTORCH_", "CUBLAS_")
"""Beginnings of the names of variables that cells find on every machine as they are here."""

_LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_TICK_SECONDS = 1.0
_NOTHING_LESS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """Which cluster, and what a cell asks it for.

    gpus: None: one, where the cluster has any. cpus: None: a node's, divided by the cells that its GPUs
    make room for; one without GPUs.
    """

    address: str = "auto"
    gpus: float | None = None
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class PartOfNode:
    """What a cell has of a node."""

    cpus: int
    gpus: float

    def number_on(self, resources: dict[str, float]) -> int:
        """How many cells a node with these has room for."""
        number = int(resources.get("CPU", 0.0) / self.cpus + _NOTHING_LESS)
        if self.gpus:
            number = min(number, int(resources.get("GPU", 0.0) / self.gpus + _NOTHING_LESS))
        return number


class Cluster:
    """The cluster of a run."""

    def __init__(self, options: RayOptions) -> None:
        self.ray = import_extra("ray", "ray")
        self.exceptions = import_extra("ray.exceptions", "ray")
        self._options = options
        self._join()
        self._looked_at = float("-inf")
        self._nodes: list[dict[str, Any]] = []
        self.share = self._share()

    def _join(self) -> None:
        address = self._options.address
        if address.startswith("ray://"):
            raise UserError(
                f"--address {address}: a Ray client cannot hear cells",
                "give the command on a node of the cluster, or through `ray job submit`",
            )
        if self.ray.is_initialized():
            return
        _require_answer(address)
        package = str(Path(lwft_bench.__file__).parent)
        carried = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
        try:
            with _same_handlers():
                self.ray.init(
                    address=address,
                    runtime_env={"py_modules": [package], "env_vars": carried},
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(address, error) from None

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """Those that are alive, as Ray tells them; not looked at more often than makes sense."""
        now = time.monotonic()
        if now > self._looked_at + _LOOK_SECONDS:
            self._looked_at = now
            self._nodes = [node for node in self.ray.nodes() if node["Alive"]]
        return self._nodes

    @property
    def num_cells(self) -> int:
        """How many cells its nodes have room for when nobody else is there."""
        return sum(self.share.number_on(node["Resources"]) for node in self.nodes)

    def has_memory(self, number: int) -> bool:
        """Whether some node has so many bytes."""
        return any(node["Resources"].get("memory", 0.0) >= number for node in self.nodes)

    def require_fit(self, paths: Sequence[Path]) -> list[str]:
        """Makes sure that every node on which cells can run sees the same files.

        Returns:
            Warnings of nodes that do not answer, or have other versions than here.

        Raises:
            UserError: A node does not, or none has room for a cell.
        """
        fitting = [node for node in self.nodes if self.share.number_on(node["Resources"])]
        if not fitting:
            raise UserError(
                f"no node of the Ray cluster has {self.share.cpus} CPUs and {self.share.gpus:g} GPUs, "
                "which a cell is to have",
                "--cpus and --gpus ask for less; `ray status` shows what there is",
            )
        names = {node["NodeID"]: node["NodeManagerHostname"] for node in fitting}
        found = self._look_at(list(names), tuple(paths))
        for node in found.values():
            if node.missing is not None:
                raise UserError(
                    f"{node.missing} is not there on node {node.host}",
                    "give --out, and files that the suite names, on a file system that all nodes share",
                )
        here = versions()
        differing = {
            f"{name} {node.versions.get(name)} on {node.host}, {version} here"
            for node in found.values()
            for name, version in here.items()
            if name != "lwft-bench" and node.versions.get(name) != version
        }
        silent = [names[node] for node in names if node not in found and node in self._alive()]
        return [
            *(f"{text}: reports keep what cannot be compared apart" for text in sorted(differing)),
            *(f"node {host} has not answered within {_ANSWER_SECONDS:g} s" for host in silent),
        ]

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}

    def _look_at(self, nodes: Sequence[str], paths: tuple[Path, ...]) -> dict[str, Node]:
        """What the nodes say that answer in time. One that has just died is not waited for."""
        strategies = import_extra("ray.util.scheduling_strategies", "ray")
        look = self.ray.remote(num_cpus=0, max_retries=0)(look_at_node)
        asked = {
            look.options(
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(paths): node
            for node in nodes
        }
        found: dict[str, Node] = {}
        until = time.monotonic() + _ANSWER_SECONDS
        while asked and time.monotonic() < until:
            for answer in self.ray.wait(list(asked), timeout=_TICK_SECONDS)[0]:
                node = asked.pop(answer)
                with suppress(self.exceptions.RayError):
                    found[node] = self.ray.get(answer)
            alive = self._alive()
            asked = {answer: node for answer, node in asked.items() if node in alive}
        return found

    def _share(self) -> PartOfNode:
        """What was asked for, and what makes sense where nothing was."""
        gpus = self._options.gpus
        on_gpus = [node["Resources"] for node in self.nodes if node["Resources"].get("GPU")]
        if gpus is None:
            gpus = 1.0 if on_gpus else 0.0
        cpus = self._options.cpus
        if cpus is None and gpus:
            rooms = [int(one.get("CPU", 0.0) * gpus / one["GPU"]) for one in on_gpus]
            cpus = min(rooms, default=1)
        return PartOfNode(max(1, cpus or 1), gpus)


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"there is no Ray cluster to be joined at {address}: {_first_line(error)}",
        "`ray start --head` begins one; --address HOST:PORT names another",
    )


def _require_answer(address: str) -> None:
    """Somebody listens there. Ray itself would try for many minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from None


@contextmanager
def _same_handlers() -> Iterator[None]:
    """What handles signals goes on to: Ray would have SIGTERM end the process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.getsignal(number) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
