"""Steps of the trainer on a small random model, for checks of the engine under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from lwft_bench.config.models import (
    Cell,
    EvaluationConfig,
    MethodConfig,
    ModelConfig,
    TaskConfig,
    TrainingConfig,
)
from lwft_bench.models.adapters import Full
from lwft_bench.models.loading import load_model
from lwft_bench.state.engine import Engine
from lwft_bench.state.precision import PRECISIONS
from lwft_bench.training.assembly import Assembly, assemble
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.meters import Account, NoAccount

StateOnDevice = Literal["all", "none"] | int


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama and its batch; buckets are small enough for every unit to span many."""

    hidden: int = 64
    layers: int = 4
    vocabulary: int = 256
    rows: int = 4
    length: int = 32
    bucket_bytes: int = 2**15

    def cell(self, state_on_device: StateOnDevice, **training: Any) -> Cell:
        """Two layers at a time and the head, in the given training options."""
        config = {
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": 11 * self.hidden // 4,
            "num_hidden_layers": self.layers,
            "num_attention_heads": max(1, self.hidden // 64),
            "max_position_embeddings": self.length,
        }
        return Cell(
            id="selftest",
            model=ModelConfig(name="selftest", config=config),
            method=MethodConfig(
                name="selftest",
                title="selftest",
                citation="none",
                always_train=("head",),
                state_on_device=state_on_device,
            ),
            task=TaskConfig(name="selftest", data="none", train_examples=1, benchmarks=()),
            training=TrainingConfig(
                steps=1, batch_size=self.rows, bucket_bytes=self.bucket_bytes, **training
            ),
            evaluation=EvaluationConfig(),
            seed=0,
        )


def random_model(cell: Cell) -> PreTrainedModel:
    """The cell's model on the CPU, always with the same weights."""
    dtype = PRECISIONS[cell.training.precision].weight
    return load_model(cell.model, dtype=dtype, attention="sdpa", seed=0)


@dataclass
class Steps:
    """A model and what trains it. `run` goes on where the last call stopped."""

    model: PreTrainedModel
    cell: Cell
    shape: Shape
    device: torch.device
    engine: Engine | None = None
    account: Account = field(default_factory=NoAccount)
    done: int = 0
    _selected: Sequence[int] = ()

    def __post_init__(self) -> None:
        adapter = Full()
        torch.nn.Module.to(self.model, self.device)  # transformers' own is typed for a model
        self.assembly: Assembly = assemble(
            adapter.apply(self.model, 0),
            adapter,
            self.cell.method,
            self.cell.training,
            rounding_seed=0,
            device=self.device,
            account=self.account,
            engine=self.engine,
        )
        self._store().switch([], [group.name for group in self.assembly.groups.always])

    def run(self, steps: int, period: int = 10, after: Callable[[], None] | None = None) -> None:
        """Two neighbouring layers for each period, going round. after: called after each step."""
        layers = self.shape.layers
        for _ in range(steps):
            if self.done % period == 0:
                first = self.done // period % layers
                self.select(sorted({first, (first + 1) % layers}))
            batch = self.batch(self.done)
            self.assembly.step.run([batch], len(batch.targets), lr=1e-3)
            self.done += 1
            if after is not None:
                after()
        self.assembly.readings.fetch()

    def select(self, units: Sequence[int]) -> None:
        """These layers train from now on."""
        groups = self.assembly.groups
        leaving = [groups.units[unit].name for unit in set(self._selected) - set(units)]
        self._store().switch(leaving, [groups.units[unit].name for unit in units])
        self.assembly.step.activate([*(groups.units[unit] for unit in units), *groups.always])
        self._selected = units

    def batch(self, step: int) -> DeviceBatch:
        """Random tokens, a function of the step alone."""
        generator = torch.Generator().manual_seed(step)
        size = (self.shape.rows, self.shape.length)
        ids = torch.randint(self.shape.vocabulary, size, generator=generator)
        places = torch.arange(ids.numel()).view(size)[:, :-1].flatten()
        tensors = (ids, places, ids[:, 1:].flatten())
        return DeviceBatch(*(tensor.to(self.device) for tensor in tensors))

    def result(self) -> list[torch.Tensor]:
        """Weights and optimizer state, on the CPU."""
        weights = [parameter.detach() for parameter in self.assembly.model.parameters()]
        tensors = [*weights, *self._store().saved_tensors().values()]
        return [tensor.cpu().clone() for tensor in tensors]

    def _store(self) -> Any:
        return self.assembly.store
