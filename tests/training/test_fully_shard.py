"""What cells that share out a model rest on (docs/scale.md): torch's fully_shard with parameters that
are switched on and off between steps, as selections do. Nothing here is lwft-bench's own.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.nn import functional

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORLD, WIDTH, VOCABULARY = 2, 32, 64
SELECTIONS = [{0, 1}, {2, 3}, {0, 3}, {1, 2, "embed"}, {3}, {"embed"}, {0, 1, 2, 3, "embed"}, {2}]
MIDDLE = 4
Tensors = dict[str, torch.Tensor]


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(functional.gelu(self.up(self.norm(x))))


class Model(nn.Module):
    """Tied, as small models are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(4))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def new_model() -> Model:
    torch.manual_seed(0)
    return Model()


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


class Training:
    """AdamW on each process's own rows, with gradients that are taken in hooks."""

    def __init__(self, model: Model, rank: int, world: int) -> None:
        self.model, self.rank, self.world = model, rank, world
        self.states: dict[str, tuple[torch.Tensor, torch.Tensor, int]] = {}
        self.fired: list[str] = []
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(
                lambda _, name=name: self.fired.append(name)
            )

    def gradients(self, step: int, selection: set[Any]) -> Tensors:
        """Of one step over all processes: of what is selected, and of nothing else."""
        for number, layer in enumerate(self.model.layers):
            layer.requires_grad_(number in selection)
        self.model.embed.requires_grad_("embed" in selection)
        self.fired.clear()
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(0, VOCABULARY, (4, 8), generator=generator)[self.rank :: self.world]
        logits = self.model(ids).flatten(0, 1)
        loss = functional.cross_entropy(logits, ids.flatten(), reduction="sum") / 32
        (loss * self.world).backward()  # what is reduced is the mean over processes
        parameters = dict(self.model.named_parameters())
        found = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        wanted = {name for name, p in parameters.items() if p.requires_grad}
        assert found.keys() == wanted == set(self.fired)
        assert len(self.fired) == len(wanted)
        for parameter in parameters.values():
            parameter.grad = None
        return found

    def run(self, steps: range) -> None:
        parameters = dict(self.model.named_parameters())
        for step in steps:
            for name, gradient in self.gradients(step, SELECTIONS[step]).items():
                own, values = local(gradient), local(parameters[name].detach())
                zeros = torch.zeros_like(own)
                first, second, count = self.states.get(name, (zeros, zeros, 0))
                first, second, count = (
                    first.lerp(own, 0.1),
                    second.lerp(own * own, 0.001),
                    count + 1,
                )
                scale = (second / (1 - 0.999**count)).sqrt() + 1e-6
                values.sub_(1e-2 * first / (1 - 0.9**count) / scale)
                self.states[name] = first, second, count

    def whole(self) -> Tensors:
        return {
            name: (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone()
            for name, p in self.model.named_parameters()
        }


def sharded(rank: int, offload: bool) -> Training:
    model = new_model()
    options: dict[str, Any] = {"mesh": init_device_mesh("cpu", (WORLD,))}
    if offload:
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=False)
    for layer in model.layers:
        fully_shard(layer, **options)
    fully_shard(model, **options)
    return Training(model, rank, WORLD)


def work(rank: int, port: int, results: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    found: dict[str, Any] = {}
    for offload in (False, True):
        training = sharded(rank, offload)
        probed = training.gradients(0, SELECTIONS[6])  # all that there is, and nothing is updated
        found["probed"] = {name: one.full_tensor() for name, one in probed.items()}
        training.run(range(MIDDLE))
        rows = {name: local(p.detach()).clone() for name, p in training.model.named_parameters()}
        states = dict(training.states)
        training.run(range(MIDDLE, len(SELECTIONS)))
        found[f"offload {offload}"] = training.whole()
        again = sharded(rank, offload)
        again.states = states
        for name, parameter in again.model.named_parameters():
            local(parameter.detach()).copy_(rows[name])
        again.run(range(MIDDLE, len(SELECTIONS)))
        found[f"resumed {offload}"] = again.whole()
    if rank == 0:
        results.put({key: {n: t.numpy() for n, t in one.items()} for key, one in found.items()})
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found() -> dict[str, Tensors]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=work, args=(rank, port, results)) for rank in range(WORLD)]
    for process in processes:
        process.start()
    found = results.get(timeout=600)
    for process in processes:
        process.join()
    return {
        key: {name: torch.from_numpy(array) for name, array in one.items()}
        for key, one in found.items()
    }


def furthest(one: Tensors, other: Tensors) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_probing_measures_what_one_process_does(found: dict[str, Tensors]) -> None:
    alone = Training(new_model(), 0, 1).gradients(0, SELECTIONS[6])
    assert furthest(found["probed"], alone) < 1e-6


@pytest.mark.parametrize("offload", [False, True])
def test_selections_train_what_one_process_does(found: dict[str, Tensors], offload: bool) -> None:
    alone = Training(new_model(), 0, 1)
    begun = alone.whole()
    alone.run(range(len(SELECTIONS)))
    assert furthest(found[f"offload {offload}"], alone.whole()) < 1e-4
    assert furthest(begun, alone.whole()) > 1e-2
    assert furthest(found[f"resumed {offload}"], found[f"offload {offload}"]) == 0.0
