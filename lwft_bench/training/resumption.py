"""All that a stopped run needs to go on as if it had not been stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from lwft_bench.models.sharded import own_rows
from lwft_bench.schema.errors import UserError
from lwft_bench.training.assembly import Assembly
from lwft_bench.training.checkpoints import Checkpoint, Checkpoints
from lwft_bench.training.streams import generator_state, set_torch_state, torch_state
from lwft_bench.training.trace import Trace
from lwft_bench.training.windows import Windows

WINDOWS = "windows"


@dataclass(slots=True)
class Place:
    """Where a trainer is.

    at: the step to be done next; negative while probing. sweep_start: the step at which the strategy's
    current pass over all units began. first_of_sweep: steps of first selections of passes, the very
    first step not counted.
    """

    at: int
    selected: tuple[int, ...] | None = None
    observed: tuple[int, ...] = ()
    period_start: int = 0
    period_end: int = 0
    sweep_start: int = 0
    first_of_sweep: int = 0

    def begin_period(self, selected: tuple[int, ...], num_steps: int) -> None:
        """These train from here on."""
        self.selected = selected
        self.period_start, self.period_end = self.at, self.at + num_steps

    def tick(self) -> None:
        """A training step is about to be made."""
        if self.at > 0 and self.sweep_start == self.period_start:
            self.first_of_sweep += 1

    def scheduled_step(self, clock: Literal["step", "sweep", "first_of_sweep"]) -> int:
        """The step of the schedule whose learning rate holds."""
        by_clock = {"step": self.at, "sweep": self.sweep_start}
        return by_clock.get(clock, self.first_of_sweep)


class Carried(Protocol):
    """Has state of its own, JSON-able but for numpy arrays."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Resumption:
    """Writes and reads the checkpoints of one run: weights that changed, optimizer state, the trace,
    every random stream, and what is `carried`.

    All ranks save and restore together; the first one writes, for all. Where they share out the model,
    each writes its rows.
    """

    def __init__(
        self,
        folder: Path,
        assembly: Assembly,
        trace: Trace,
        windows: Windows,
        carried: Mapping[str, Carried],
        rng: np.random.Generator,
    ) -> None:
        self._folder = folder
        self._device = assembly.surroundings.device
        self._ranks = assembly.ranks
        self._groups = assembly.groups
        self._store = assembly.store
        self._shards = assembly.shards
        self._checkpoints = Checkpoints(folder, self._shards)
        self._trace = trace
        self._written = Counter[str]()
        self._windows = windows
        self._carried = carried
        self._rng = rng

    def save(self, place: Place, number: int) -> None:
        """Writes checkpoint `number`, in place of older ones."""
        random = {
            f"random/{rank}/{name}": state
            for name, own in torch_state(self._device).items()
            for rank, state in enumerate(self._ranks.gather(own))
        }
        rows = [
            *self._trace.rows(self._written),
            *((WINDOWS, table) for table in self._windows.unwritten()),
        ]
        self._written = self._trace.counts
        if self._ranks.rank == 0 or self._shards.world > 1:
            tensors = {name: tensor.cpu() for name, tensor in (self._tensors() | random).items()}
            self._checkpoints.save(number, Checkpoint(tensors, self._values(place), rows))
        self._ranks.barrier()

    def restore(self, passed_over: Callable[[str], None]) -> Place | None:
        """Takes everything from the newest checkpoint that is whole; None if there is none.

        Args:
            passed_over: Is told of those that are damaged.

        Raises:
            UserError: it was written by another number of ranks.
        """
        checkpoint = self._checkpoints.load_latest(passed_over)
        if checkpoint is None:
            return None
        values = checkpoint.values
        if values["ranks"] != self._ranks.world:
            raise UserError(
                f"the cell was begun by {values['ranks']} ranks and would go on with "
                f"{self._ranks.world}: other sums, and other dropout",
                f"start it as before (torchrun --nproc-per-node {values['ranks']}), or remove its "
                f"checkpoint in {self._folder}",
            )
        self._restore_tensors(checkpoint)
        self._trace.restore(row for row in checkpoint.rows if row[0] != WINDOWS)
        self._written = self._trace.counts
        tables = [tuple(table) for kind, table in checkpoint.rows if kind == WINDOWS]
        self._windows.load_state_dict(values[WINDOWS], tables)
        for name, part in self._carried.items():
            part.load_state_dict(values[name])
        self._rng.bit_generator.state = values["rng"]
        place = Place(**values["place"])
        if place.selected is not None:
            place.selected = tuple(place.selected)
        place.observed = tuple(place.observed)
        return place

    def _tensors(self) -> dict[str, torch.Tensor]:
        state = self._store.saved_tensors()
        trained = self._store.trained()
        weights = {
            f"weight/{name}": own_rows(parameter)
            for group in self._groups.all
            if trained[group.name]
            for name, parameter in group.parameters.items()
        }
        return weights | {f"state/{name}": tensor for name, tensor in state.items()}

    def _values(self, place: Place) -> dict[str, Any]:
        return {
            "place": asdict(place),
            "ranks": self._ranks.world,
            WINDOWS: self._windows.state_dict(),
            "rng": generator_state(self._rng),
            "state_steps": self._store.steps(),
            "trained": self._store.trained(),
            "moves": self._store.moves(),
        } | {name: part.state_dict() for name, part in self._carried.items()}

    def _restore_tensors(self, checkpoint: Checkpoint) -> None:
        parts: dict[str, dict[str, torch.Tensor]] = {"state": {}, "weight": {}, "random": {}}
        for name, tensor in checkpoint.tensors.items():
            kind, _, rest = name.partition("/")
            parts[kind][rest] = tensor
        parameters = {n: p for group in self._groups.all for n, p in group.parameters.items()}
        with torch.no_grad():
            for name, tensor in parts["weight"].items():
                own_rows(parameters[name]).copy_(tensor)
        values = checkpoint.values
        self._store.load(parts["state"], values["state_steps"], values["trained"], values["moves"])
        prefix = f"{self._ranks.rank}/"
        own = {
            name.removeprefix(prefix): tensor
            for name, tensor in parts["random"].items()
            if name.startswith(prefix)
        }
        set_torch_state(own, self._device)
