#!/bin/sh
# torch's fully_shard (FSDP2) sums gradients of different parameters, in silence, where each of two
# ranks has a gradient for another one (tokens that go to different experts): by default it leaves out
# what has no gradient on a rank, and reduces what is left as if it were the same on all.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""Gradients of two experts over two ranks, whose tokens go to one expert each, and in one process."""

import os
import platform
import socket
import sys

import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

WORLD = 2
ROUTES = ("a", "b")


class Experts(nn.Module):
    """Two experts of a shape; all tokens of a batch go to one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)
        self.b = nn.Linear(4, 4, bias=False)

    def forward(self, tokens: torch.Tensor, route: str) -> torch.Tensor:
        return getattr(self, route)(tokens)


def tokens(rank: int) -> torch.Tensor:
    return torch.full((2, 4), 1.0 + 10.0 * rank)


def gradients_over_ranks(rank: int, port: int, zeros: bool, results: multiprocessing.Queue) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    model = Experts()
    fully_shard(model, mesh=init_device_mesh("cpu", (WORLD,)))
    if zeros:
        model.set_reduce_scatter_unused_params(True)
    model(tokens(rank), ROUTES[rank]).sum().backward()
    found = {
        name: None if parameter.grad is None else parameter.grad.to_local().unique().tolist()
        for name, parameter in model.named_parameters()
    }
    results.put((rank, found))
    distributed.barrier()
    distributed.destroy_process_group()


def over_ranks(zeros: bool) -> list[dict[str, list[float] | None]]:
    """Each rank's rows of the gradients, as the values that stand in them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = [(rank, port, zeros, results) for rank in range(WORLD)]
    processes = [context.Process(target=gradients_over_ranks, args=each) for each in arguments]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return [found[rank] for rank in range(WORLD)]


def main() -> None:
    model = Experts()
    for rank, route in enumerate(ROUTES):
        (model(tokens(rank), route).sum() / WORLD).backward()
    one = {name: p.grad.unique().tolist() for name, p in model.named_parameters()}
    print(f"python {platform.python_version()}, torch {torch.__version__}, two CPU ranks over gloo")
    print("Two experts of a shape under one fully_shard; rank 0's tokens go to a, rank 1's to b.")
    print(f"In one process, the mean of both ranks' losses: {one}")
    print("Guess: a parameter that has no gradient on a rank counts as zero there.")
    plain, with_zeros = over_ranks(False), over_ranks(True)
    print(f"Seen:  rank 0's rows: {plain[0]}")
    print(f"       rank 1's rows: {plain[1]}")
    print("       as each rank reduces the one gradient that it has; no error, no warning.")
    print("       With set_reduce_scatter_unused_params(True):")
    print(f"       rank 0's rows: {with_zeros[0]}")
    print(f"       rank 1's rows: {with_zeros[1]}")
    mixed = [one["a.weight"][0] + one["b.weight"][0]]
    as_described = (
        plain[0] == {"a.weight": mixed, "b.weight": None}
        and plain[1] == {"a.weight": None, "b.weight": mixed}
        and with_zeros == [one, one]
    )
    print("As described." if as_described else "CHANGED: not as described.")
    sys.exit(0 if as_described else 1)


if __name__ == "__main__":
    main()
PYTHON
status=0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
