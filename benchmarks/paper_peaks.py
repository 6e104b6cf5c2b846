"""Plans of GRASS's memory table over what it leaves open, one JSON line each; see paper_table.py.

    OMP_NUM_THREADS=1 python -m benchmarks.paper_peaks FILE [MODEL...]

What FILE has already is not planned again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from lwft_bench.adapters.lora import Lora
from lwft_bench.dry_run.engine import PlanningEngine
from lwft_bench.dry_run.fake_cell import CPU
from lwft_bench.dry_run.planned_selections import PlannedSelections
from lwft_bench.dry_run.steps import BatchShape, cell_steps
from lwft_bench.memory.accounting import MemoryAccount
from lwft_bench.memory.fake import fake_model
from lwft_bench.memory.fake_mode import RepeatingFakeMode
from lwft_bench.memory.flops import FlopCount
from lwft_bench.models.parts import find_parts
from lwft_bench.plugins.registry import register_adapter, strategies
from lwft_bench.schema.base import Named
from lwft_bench.schema.cell import Cell, EvaluationConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.architectures import read_architecture
from lwft_bench.suites.entries import read_card
from lwft_bench.training.adapted import empty_adapted_model
from lwft_bench.training.assembly import Surroundings
from lwft_bench.training.traits import Traits

MODELS = {"TinyLlama": "tinyllama-1.1b", "Gemma-2B": "gemma-2b", "LLaMA2-7B": "llama-2-7b"}
CARDS = {
    "FFT": "fft",
    "LoRA": "lora-r128",
    "DoRA": "dora",
    "LISA": "lisa-reset",
    "GRASS": "grass",
}
LENGTH, LONG = 1024, 1792
LAYERWISE = ("LISA", "GRASS")
ENDS = ("embed", "final_norm", "head")
DRAWS = ("cheapest", "mean", "dearest", "whole run")
"""Of one step, over the layers that are drawn; or of the whole run, in which probing is."""
KERNELS = ("fused", "foreach")
DEPTHS = (3, 6)
"""Layers of the models that are planned."""
PLACED = ("forward", "backward", "probe")
"""Phases that go through layers."""
BYTES_OF_MOMENTS = 2 * 2
"""Of a parameter, in bf16."""


@register_adapter("lora-float32")
class Float32Lora(Lora):
    """LoRA and DoRA as peft makes them by default: adapters in float32 beside half-precision weights."""

    def apply(self, model, seed):  # type: ignore[no-untyped-def]
        adapted: nn.Module = super().apply(model, seed)
        for name, parameter in adapted.named_parameters():
            if self.trains(name):
                parameter.data = parameter.data.float()
        return adapted


@dataclass(frozen=True, slots=True)
class Planned:
    """What is planned. ends: whether embedding, final norm and head train with the layers."""

    model: str
    method: str
    rows: int
    tokens: int
    checkpointing: bool
    whole_logits: bool
    ends: bool
    float32_adapters: bool


def every(models: list[str]) -> Iterator[Planned]:
    """GRASS's longer sequences too for the largest."""
    for whole, rows, checkpointing, model, method in product(
        (False, True), (1, 4), (False, True), models, CARDS
    ):
        for variant in (False, True) if method != "FFT" else (False,):
            ends = variant and method in LAYERWISE
            one = Planned(
                model, method, rows, LENGTH, checkpointing, whole, ends, variant and not ends
            )
            yield one
            if (model, method) == ("LLaMA2-7B", "GRASS"):
                yield Planned(model, method, rows, LONG, checkpointing, whole, ends, False)


def cell_of(one: Planned, num_layers: int) -> Cell:
    card = read_card(MethodConfig, shipped("methods")[CARDS[one.method]]).config
    if one.method in LAYERWISE:
        card = card.model_copy(update={"always_train": ENDS if one.ends else ()})
    if one.float32_adapters:
        adapter = Named(name="lora-float32", **card.adapter.options)
        card = card.model_copy(update={"adapter": adapter})
    model = read_architecture(MODELS[one.model]).model
    config = (model.config or {}) | {"num_hidden_layers": num_layers}
    return Cell(
        id=one.method,
        model=model.model_copy(update={"config": config}),
        method=card,
        task=TaskConfig(name="none", data="none", train_examples=1, benchmarks=()),
        training=TrainingConfig(
            steps=1,
            batch_size=one.rows,
            max_length=one.tokens,
            precision="bf16",
            loss_on="all",
            checkpointing=one.checkpointing,
            # Nothing passes through buckets but offloaded state; large ones are fewer to count.
            **({} if one.method == "GRASS" else {"bucket_bytes": 2**30}),
        ),
        evaluation=EvaluationConfig(),
        seed=0,
    )


class PlacedAccount(MemoryAccount):
    """Keeps a peak for each decoder layer that forward and backward passes go through."""

    def __init__(self) -> None:
        super().__init__()
        self.place: int | str = "head"
        self.peaks: dict[tuple[str, str, int | str], int] = {}
        """By the selection's number (or none), the phase in it, and the layer."""

    def _count(self, component: str, nbytes: int, block_bytes: int) -> None:
        super()._count(component, nbytes, block_bytes)
        phases = self.state[0] if nbytes > 0 else ()
        if phases:
            place = self.place if phases[-1] in PLACED else "any"
            key = (phases[0], phases[-1], place)
            self.peaks[key] = max(self.live_bytes, self.peaks.get(key, 0))

    def follow(self, layers: nn.ModuleList) -> None:
        """Watches a forward pass enter each layer, and a backward pass come to its output."""
        for number, layer in enumerate(layers):
            last = number == len(layers) - 1
            layer.register_forward_pre_hook(partial(self._enter, number))
            layer.register_forward_hook(partial(self._leave, number, last))

    def _enter(self, number: int, *_: object) -> None:
        self.place = number

    def _leave(self, number: int, last: bool, layer: object, given: object, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: self._enter(number))
        if last and "backward" not in self.state[0]:
            self.place = "head"


def drawn_layers(one: Planned, num_layers: int) -> PlannedSelections:
    """The dearest two, the cheapest, and two that are a third and two thirds up."""
    needs = strategies.build(cell_of(one, num_layers).method.strategy).needs
    if one.method not in LAYERWISE:
        everything = tuple(range(num_layers))
        return PlannedSelections((everything,), (everything,), (), needs)
    top, third = num_layers - 1, num_layers // 3
    pairs = {"dearest": (0, top), "cheapest": (top - 1, top), "mean": (third, 2 * third)}
    return PlannedSelections(tuple(pairs.values()), (pairs["mean"],), (), needs)


Found = dict[tuple[str, str, int | str], float]


def at_depth(one: Planned, num_layers: int) -> tuple[Found, dict[str, int]]:
    """Peaks by selection, phase and layer, where layers are named by their share of the depth; and what
    the foreach kernel takes at the update of each selection.
    """
    cell, drawn = cell_of(one, num_layers), drawn_layers(one, num_layers)
    shapes = [BatchShape(one.rows, one.tokens, one.rows * (one.tokens - 1))]
    adapter, model = empty_adapted_model(cell)
    mode, account = RepeatingFakeMode(), PlacedAccount()
    fake_model(model, mode)
    account.follow(find_parts(model).layers)
    with mode, account:
        account.adopt([*model.parameters(), *model.buffers()], "weights")
        fake = cell_steps(
            cell,
            (adapter, model),
            shapes,
            Surroundings(CPU, account, engine=PlanningEngine(CPU, account), fake=True),
            FlopCount(),
            traits=Traits(own_logits=one.whole_logits),
        )
        fake.follow(drawn)
    groups = fake.assembly.groups
    always = sum(group.num_parameters for group in groups.always)
    item_bytes = 4 if one.float32_adapters else 2
    extra = {
        str(number): item_bytes * (always + sum(groups.units[u].num_parameters for u in chosen))
        for number, chosen in enumerate(drawn.selections)
    }
    third = num_layers // 3
    names = {0: "lowest", third: "third", 2 * third: "two thirds", num_layers - 1: "highest"}
    found: Found = {}
    for (number, phase, place), peak in account.peaks.items():
        for named in (
            [place] if isinstance(place, str) else [n for k, n in names.items() if k == place]
        ):
            found[number, phase, named] = peak
    return found, extra


def plan(one: Planned) -> dict[str, dict[str, float]]:
    """Kernel -> draw -> bytes; `kept` is what the state of all other layers adds, if it stays.

    Planned at two small depths. With so many layers each of these peaks is an affine function of their
    number, and the peak over the layers between two that are named is at one of the two.
    """
    depth = read_architecture(MODELS[one.model]).model.config["num_hidden_layers"]  # type: ignore
    (few, of_few), (more, of_more) = (at_depth(one, number) for number in DEPTHS)

    def deep(first: float, second: float) -> float:
        return second + (second - first) * (depth - DEPTHS[1]) / (DEPTHS[1] - DEPTHS[0])

    peaks = {key: deep(few[key], more[key]) for key in few.keys() & more.keys()}
    extra = {number: deep(of_few[number], of_more[number]) for number in of_few}
    own = {n: max(v for key, v in peaks.items() if key[0] == n) for n in extra}
    updates = {n: max(v for key, v in peaks.items() if key[:2] == (n, "update")) for n in extra}
    foreach = {n: max(own[n], updates[n] + extra[n]) for n in extra}
    names = ("dearest", "cheapest", "mean") if one.method in LAYERWISE else ("dearest",)
    found = {}
    for kernel, of in (("fused", own), ("foreach", foreach)):
        by_draw = dict(zip(names, of.values(), strict=True))
        whole = max(max(peaks.values()), *of.values())
        found[kernel] = dict.fromkeys(DRAWS, by_draw["dearest"]) | by_draw | {"whole run": whole}
    kept = 0.0
    if one.method == "LISA":
        card = read_architecture(MODELS[one.model])
        layer = (card.parameters - _outside_layers(one)) / depth
        kept = BYTES_OF_MOMENTS * layer * (depth - 2)
    return found | {"kept": {"state": kept}}


def _outside_layers(one: Planned) -> int:
    config = read_architecture(MODELS[one.model]).model.config or {}
    rows = config["vocab_size"] * (1 if config["tie_word_embeddings"] else 2)
    return config["hidden_size"] * (rows + 1)


def read(path: Path) -> dict[Planned, dict[str, dict[str, float]]]:
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {Planned(**row.pop("planned")): row for row in map(json.loads, lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    known = read(arguments.file)
    for one in every(arguments.models):
        if one not in known:
            line = json.dumps({"planned": asdict(one)} | plan(one))
            with arguments.file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")


if __name__ == "__main__":
    main()
