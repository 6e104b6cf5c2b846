"""Steps of the trainer on a small random model, for checks of the engine under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lwft_bench.dry_run.steps import cell_steps
from lwft_bench.memory.flops import FlopCount
from lwft_bench.memory.meters import NoAccount
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.state.engine import Engine
from lwft_bench.training.adapted import random_adapted_model
from lwft_bench.training.assembly import Surroundings
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.traits import Traits

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


class Steps:
    """A model and what trains it. `run` goes on where the last call stopped."""

    def __init__(
        self, cell: Cell, shape: Shape, device: torch.device, engine: Engine | None = None
    ) -> None:
        self._steps = cell_steps(
            cell,
            random_adapted_model(cell, 0, device),
            (),
            Surroundings(device, NoAccount(), engine=engine),
            FlopCount(),
            traits=Traits(),
        )
        self.assembly = self._steps.assembly
        self.assembly.store.counts_survival = False
        self._shape = shape
        self._device = device
        self._done = 0

    def run(self, steps: int, period: int = 10) -> None:
        """Two neighbouring layers for each period, going round."""
        layers = self._shape.layers
        for _ in range(steps):
            if self._done % period == 0:
                first = self._done // period % layers
                self.select(sorted({first, (first + 1) % layers}))
            self._step()
        self.assembly.readings.fetch()

    def select(self, units: Sequence[int]) -> None:
        """These train from now on."""
        self._steps.select(units)

    def train(self, steps: int) -> float:
        """Steps with what is selected; the last one's loss."""
        for _ in range(steps):
            self._step()
        losses, _, _ = self.assembly.readings.fetch()
        return float(losses[-1])

    def _step(self) -> None:
        batch = self.batch(self._done)
        self.assembly.step.run([batch], len(batch.targets), lr=1e-3)
        self._done += 1

    def batch(self, step: int) -> DeviceBatch:
        """Random tokens, a function of the step alone."""
        generator = torch.Generator().manual_seed(step)
        size = (self._shape.rows, self._shape.length)
        ids = torch.randint(self._shape.vocabulary, size, generator=generator)
        places = torch.arange(ids.numel()).view(size)[:, :-1].flatten()
        tensors = (ids, places, ids[:, 1:].flatten())
        input_ids, positions, targets = (tensor.to(self._device) for tensor in tensors)
        return DeviceBatch(input_ids, positions, targets)

    def result(self) -> list[torch.Tensor]:
        """Weights and optimizer state, on the CPU."""
        weights = [parameter.detach() for parameter in self.assembly.model.parameters()]
        tensors = [*weights, *self.assembly.store.saved_tensors().values()]
        return [tensor.cpu().clone() for tensor in tensors]

    def differences(self, other: Steps) -> int:
        """Tensors of weights and state that differ in any bit."""
        pairs = zip(self.result(), other.result(), strict=True)
        return sum(not torch.equal(_bits(a), _bits(b)) for a, b in pairs)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Not the values: a NaN equals nothing, and the two zeros one another."""
    return tensor.reshape(-1).view(torch.uint8)
