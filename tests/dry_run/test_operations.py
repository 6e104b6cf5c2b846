"""Operations of training runs against closed forms, which are worked out here from shapes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lwft_bench.cell.arithmetic import CellArithmetic, cell_arithmetic
from lwft_bench.dry_run.dry_run import DryRun, cost_class, dry_run
from lwft_bench.dry_run.operations import Cost, Selected, count_operations
from lwft_bench.dry_run.steps import BatchShape, batch_of
from lwft_bench.memory.accounting import MemoryReport
from lwft_bench.memory.flops import FlopCount
from lwft_bench.plugins.registry import strategies
from lwft_bench.schema.extents import Extent
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.rows import StepRow
from lwft_bench.strategies.base import Needs
from tests.planning.shapes import shaped_cell
from tests.training.small_cards import small_cards
from tests.training.tiny import CPU, assert_same, make_run, training
from tests.training.tiny import WITH_EXPERTS as FAMILIES

CARDS = small_cards()
NO_MEMORY = MemoryReport(0, 0, {}, {}, {}, 0)
LAYERS = range(4)
GRADIENTS_OF_ALL_EXPERTS = not any(hasattr(torch, name) for name in ("_grouped_mm", "grouped_mm"))
"""Wanted or not: torch up to 2.7 has no product of experts, and transformers' own makes both."""


@dataclass(frozen=True)
class ClosedForm:
    """A Llama-like model's arithmetic. Maps (inputs, outputs) by name; what is trained where."""

    config: dict[str, Any]
    card: MethodConfig
    checkpointing: bool = False
    keeps_scores: bool = False

    @property
    def maps(self) -> dict[str, tuple[int, int]]:
        c = self.config
        d, ff = c["hidden_size"], c["intermediate_size"]
        head = c.get("head_dim", d // c["num_attention_heads"])
        queries, keys = head * c["num_attention_heads"], head * c["num_key_value_heads"]
        maps = {"q": (d, queries), "k": (d, keys), "v": (d, keys), "o": (queries, d)}
        if "num_local_experts" not in c:
            return maps | {"gate": (d, ff), "up": (d, ff), "down": (ff, d)}
        experts = c["num_experts_per_tok"]  # each token goes through so many
        maps |= {f"{name}{e}": (d, ff) for name in ("gate", "up") for e in range(experts)}
        maps |= {f"down{e}": (ff, d) for e in range(experts)}
        return maps | {"router": (d, c["num_local_experts"])}

    @property
    def queries(self) -> int:
        return self.maps["q"][1]

    @property
    def rank(self) -> int:
        return self.card.adapter.options.get("r", 0)

    def adapts(self, name: str) -> bool:
        return self.rank > 0 and name in ("q", "k", "v", "up", "down")

    def head(self) -> int:
        return 2 * self.config["hidden_size"] * self.config["vocab_size"]

    def forward_of_layer(self, extent: Extent, *, without: str = "") -> int:
        total = 4 * self.queries * extent.pairs
        for name, (m, n) in self.maps.items():
            if name != without:
                total += 2 * m * n * extent.tokens
                total += 2 * self.rank * (m + n) * extent.tokens * self.adapts(name)
        return total

    def forward(self, extent: Extent) -> int:
        layers = self.config["num_hidden_layers"]
        return layers * self.forward_of_layer(extent) + self.head() * extent.targets

    def trains(self, part: str) -> bool:
        always = self.card.always_train
        tied = self.config.get("tie_word_embeddings", self.config["model_type"] == "gemma")
        part = "embed" if part == "head" and tied else part
        return always == "all" or part in always

    def backward(self, extent: Extent, selected: set[int], *, probing: bool = False) -> int:
        """Probing: every layer's gradients, no part's."""
        embed = self.trains("embed") and not probing
        lowest = 0 if embed else min(selected, default=4)
        total = self.head() * extent.targets  # the hidden states' gradient
        total += self.head() * extent.targets * (self.trains("head") and not probing)
        for layer in range(lowest, self.config["num_hidden_layers"]):
            trained = layer in selected
            # Four products of attention, and in a kernel that keeps no scores those again.
            total += (8 if self.keeps_scores else 10) * self.queries * extent.pairs
            for name, (m, n) in self.maps.items():
                # Of the lowest layer nobody wants its input's gradient, but for its norm's weight.
                wanted = layer > lowest or embed or not self.rank or name not in ("q", "k", "v")
                per_token = 2 * m * n * wanted
                if not self.rank:
                    expert = GRADIENTS_OF_ALL_EXPERTS and name[-1].isdigit()
                    per_token += 2 * m * n * (trained or expert)
                elif self.adapts(name):
                    into_a = 2 * self.rank * m * (wanted + trained)
                    per_token += 2 * self.rank * n * (1 + trained) + into_a
                total += per_token * extent.tokens
        return total

    def recomputed(self, extent: Extent, selected: set[int]) -> int:
        """torch stops when it has what the backward pass needs: before the layer's last product."""
        lowest = 0 if self.trains("embed") else min(selected, default=4)
        layers = self.config["num_hidden_layers"] - lowest
        return layers * self.forward_of_layer(extent, without="down") * self.checkpointing

    def step(self, row: StepRow, selected: set[int]) -> Counter[str]:
        computed, needed = row.computed or Extent(), row.needed or Extent()
        if row.step < 0:
            every = set(LAYERS)
            passes = self.forward(computed) + self.backward(computed, every, probing=True)
            return Counter(probing=passes + self.recomputed(computed, every))
        useful = self.forward(needed) + self.backward(needed, selected)
        executed = self.forward(computed) + self.backward(computed, selected)
        recomputed = self.recomputed(computed, selected)
        return Counter(useful=useful, padding=executed - useful, recomputation=recomputed)


def keeps_scores(family: str, attention: str) -> bool:
    """On the CPU torch has a kernel that keeps none; up to 2.8 not where heads share their keys."""
    heads = FAMILIES[family]["num_attention_heads"], FAMILIES[family]["num_key_value_heads"]
    query, key = (torch.empty(1, number, 8, 8) for number in heads)
    grouped = heads[0] != heads[1]
    chosen = torch._fused_sdp_choice(query, key, key, is_causal=True, enable_gqa=grouped)
    return attention == "eager" or chosen == SDPBackend.MATH.value


def trained(
    folder: Path, card: MethodConfig, family: str, **options: Any
) -> tuple[CellArithmetic, list[Counter[str]]]:
    """A run's operations as recorded, and by the closed form."""
    config = training(6, **(card.training | options))
    run = make_run(folder, card, config, family)
    run.trainer.run()
    trace = run.trainer.trace
    selections = [tuple(row.units) for row in trace.selections]
    strategy = strategies.get(card.strategy.name)
    needs = strategy(strategy.Options(**card.strategy.options)).needs
    planned = DryRun(NO_MEMORY, {})
    operations = count_operations(
        run.assembly, CPU, list(map(Selected, selections)), needs, planned
    )
    scores = keeps_scores(family, config.attention)
    form = ClosedForm(FAMILIES[family], card, config.checkpointing, scores)
    steps = [
        form.step(row, set(trace.selections[row.period].units) if row.step >= 0 else set())
        for row in trace.steps
    ]
    for row in trace.measurements:
        index = min(row.step, trace.steps[-1].step) - trace.steps[0].step
        steps[index]["measuring"] += form.forward(row.computed)
    return cell_arithmetic(trace, operations, 1), steps


def angles_are_products() -> bool:
    """Whether transformers multiplies positions by frequencies as matrices, as 5.4 does: once for
    all rows, so that the operations grow with what an Extent does not have."""
    with FlopCount() as counter:
        LlamaRotaryEmbedding(LlamaConfig())(torch.ones(1), torch.arange(8)[None])
    return counter.total > 0


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("fft", "llama", {}),
    ("fft", "llama-tied", {}),
    ("fft", "llama", {"micro_batch_size": 3}),
    ("fft", "gemma", {}),
    ("fft", "qwen2", {}),
    ("fft", "mistral", {"attention": "eager"}),
    ("fft", "mixtral", {}),
    ("lisa", "mixtral", {"checkpointing": True}),
    ("lisa", "llama", {}),
    ("lisa", "llama-tied", {}),
    ("grass", "llama", {"update": "in_backward"}),
    ("grass", "gemma", {"checkpointing": True}),
    ("always-only", "llama", {}),
    ("last-layers", "mistral", {}),
    ("badam", "qwen2", {}),
    ("permuted", "llama", {}),
    ("lora", "llama", {}),
    ("lora-r128", "llama-tied", {"micro_batch_size": 2}),
    ("ist", "llama", {}),
    ("rst", "qwen2", {}),
]


@pytest.mark.parametrize(("card", "family", "options"), CASES)
def test_recorded_equals_the_closed_form(
    card: str, family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    recorded, steps = trained(tmp_path, CARDS[card], family, **options)
    for purpose in ("useful", "padding", "recomputation", "probing", "measuring"):
        expected = [step[purpose] for step in steps]
        found = [step[purpose] for step in recorded.steps]
        assert found == pytest.approx(expected, rel=1e-3), purpose
    assert recorded.uncounted == ()
    assert recorded.deviation <= (3e-4 if angles_are_products() else 0.0)


@pytest.mark.parametrize(("card", "products"), [("apollo", 1), ("galore", 2)])
def test_the_optimizers_own_products(card: str, products: int, tmp_path: Path) -> None:
    """APOLLO projects the gradient of each matrix, GaLore brings the update back too."""
    method, family = CARDS[card], "llama"
    cell = shaped_cell(card, FAMILIES[family], card={"optimizer": method.optimizer.model_dump()})
    planned = dry_run(cell, [BatchShape(2, 16, 9)], [tuple(LAYERS)], Needs())
    form = ClosedForm(FAMILIES[family], method)
    rank = method.optimizer.options["rank"]
    expected = len(LAYERS) * sum(products * 2 * rank * m * n for m, n in form.maps.values())
    assert list(planned.updates.values()) == [expected]
    assert list(planned.uncounted) == ["aten._linalg_svd.default"] * (card == "galore")


def test_a_batch_that_costs_otherwise_is_told(tmp_path: Path) -> None:
    """A model whose arithmetic jumps twice with the length: costs from small batches do not hold."""
    run = make_run(tmp_path, CARDS["fft"], training(1), "llama")
    layer = run.model.get_submodule("model.layers.0.mlp")
    inner = layer.forward

    def jumps(x: torch.Tensor) -> torch.Tensor:
        for _ in range((x.shape[1] > 16) + (x.shape[1] > 70)):
            x = inner(x)
        return inner(x)

    layer.forward = jumps
    planned = DryRun(NO_MEMORY, {})
    found = count_operations(run.assembly, CPU, [Selected(tuple(LAYERS))], Needs(), planned)
    assert found.deviation > 0.01


@pytest.mark.parametrize("length", [40, 64, 96, 128, 250])
def test_operations_in_chunks_come_close(length: int, tmp_path: Path) -> None:
    """Layers that fill each row up to a multiple of 64 tokens, as linear attention does: costs from rows
    of 8 and 16 tokens are negative for longer ones."""
    run = make_run(tmp_path, CARDS["fft"], training(1), "llama")
    for layer in LAYERS:
        mlp = run.model.get_submodule(f"model.layers.{layer}.mlp")

        def chunked(x: torch.Tensor, inner: Any = mlp.forward) -> torch.Tensor:
            return inner(torch.nn.functional.pad(x, (0, 0, 0, -x.shape[1] % 64)))[:, : x.shape[1]]

        mlp.forward = chunked
    shape = BatchShape(2, length, length)
    run.assembly.step.activate(run.assembly.groups.units)
    with FlopCount() as counter:
        run.assembly.step.run([batch_of(shape, CPU)], length, lr=None)
    every = tuple(LAYERS)
    kind = cost_class(every, [unit.num_parameters for unit in run.assembly.groups.units])
    planned = DryRun(NO_MEMORY, {kind: counter.total})
    found = count_operations(
        run.assembly, CPU, [Selected(every)], Needs(), planned, longest=shape.extent
    )
    assert 0.01 < found.deviation < 0.6
    cost = found.costs[kind].passes(shape.extent)
    assert cost == pytest.approx(counter.total, rel=found.deviation)


def test_rows_longer_than_a_model_can_have_leave_no_trace(tmp_path: Path) -> None:
    """Costs from short rows are off, and long rows cannot be run."""
    run = make_run(tmp_path, CARDS["fft"], training(1), "llama")
    layer = run.model.get_submodule("model.layers.0.mlp")
    inner = layer.forward

    def limited(x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] > 100:
            raise IndexError("no such position")
        return inner(inner(x)) if x.shape[1] > 16 else inner(x)

    layer.forward = limited
    planned = DryRun(NO_MEMORY, {})
    found = count_operations(run.assembly, CPU, [Selected(tuple(LAYERS))], Needs(), planned)
    assert found.deviation > 0.01
    assert not any(p.requires_grad or p.grad is not None for p in run.model.parameters())


def test_costs_below_nothing_are_no_result(tmp_path: Path) -> None:
    run = make_run(tmp_path, CARDS["fft"], training(2), "llama")
    run.trainer.run()
    selections = [Selected(tuple(LAYERS))]
    found = count_operations(run.assembly, CPU, selections, Needs(), DryRun(NO_MEMORY, {}))
    (kind,) = found.costs
    wrong = replace(
        found,
        costs={kind: Cost((Fraction(0), Fraction(-1), *[Fraction(0)] * 2), (Fraction(0),) * 4)},
    )
    with pytest.raises(ValueError, match="say nothing of a step"):
        cell_arithmetic(run.trainer.trace, wrong, 1)


def test_counting_leaves_no_trace(tmp_path: Path) -> None:
    run = make_run(tmp_path, CARDS["grass"], training(4), "llama")
    run.trainer.run()
    before, random = run.weights(), torch.get_rng_state()
    state = {name: t.clone() for name, t in run.assembly.store.saved_tensors().items()}
    selections = [Selected((0, 1)), Selected((1, 2)), Selected((2, 3))]
    count_operations(run.assembly, CPU, selections, Needs(probing_steps=3), DryRun(NO_MEMORY, {}))
    assert_same(before, run.weights())
    assert_same(state, run.assembly.store.saved_tensors())
    assert torch.equal(random, torch.get_rng_state())
    assert not any(p.requires_grad or p.grad is not None for p in run.model.parameters())


@pytest.mark.parametrize(("off", "saved"), [(0, 1), (1, 0)])
def test_a_class_between_is_tried_only_where_the_plan_says_otherwise(
    tmp_path: Path, off: int, saved: int
) -> None:
    run = make_run(tmp_path, CARDS["lisa"], training(2), "llama")
    selections = [Selected((0, 1)), Selected((1, 2)), Selected((2, 3))]
    calls: list[object] = []
    run.model.register_forward_pre_hook(lambda *_: calls.append(None))
    alone = count_operations(run.assembly, CPU, selections, Needs(), DryRun(NO_MEMORY, {}))
    num_alone = len(calls)
    longest = Extent.of_lengths([20, 20], 11)
    flops = {kind: cost.passes(longest) + off for kind, cost in alone.costs.items()}
    found = count_operations(
        run.assembly, CPU, selections, Needs(), DryRun(NO_MEMORY, flops), longest
    )
    assert found.costs == alone.costs
    assert len(calls) == 2 * num_alone - saved
