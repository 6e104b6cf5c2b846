"""Steps on sequences as ragged as real ones: padded, by length, packed, and with one kernel a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch

from benchmarks.device.cells import cell, model
from benchmarks.device.setting import NotHere, Row, Setting, attempt, release
from benchmarks.device.turns import by_turns, ratio
from lwft_bench.data.batching import DataOrder, TokenisedExamples, splitting_of
from lwft_bench.data.micro_batches import Packing
from lwft_bench.schema.cell import Cell
from lwft_bench.selftest.steps import Shape, Steps
from lwft_bench.training.loss import DeviceBatch
from lwft_bench.training.packed_attention import attending_by

LENGTHS = (94, 109, 121, 131, 140, 150, 159, 169, 179, 191, 203, 217, 233, 253, 284, 341)
"""Tokens of GSM8K's 7,473 training examples, question and answer, by SmolLM2's tokenizer: the sixteen
quantiles that stand for a sixteenth each."""
TINY = (5, 9, 12, 3)
BATCHINGS: dict[str, dict[str, Any]] = {
    "padded": {},
    "by_length, two micro-batches": {"batching": "by_length"},
    "packed, a kernel a sequence": {"batching": "packed"},
    "packed, torch's varlen_attn": {"batching": "packed"},
}
PLAIN, *_, VARLEN = BATCHINGS
TURNS, STEPS = 6, 3


class RaggedSteps(Steps):
    """The trainer's step on sequences of these lengths, the same tokens however they are batched."""

    def __init__(self, one: Cell, lengths: Sequence[int], device: torch.device) -> None:
        assert one.model.config is not None
        vocabulary = one.model.config["vocab_size"]
        super().__init__(one, Shape(vocabulary=vocabulary), device)
        generator = torch.Generator().manual_seed(0)
        ids = [torch.randint(vocabulary, (n,), generator=generator).tolist() for n in lengths]
        examples = TokenisedExamples(ids, [1] * len(ids), "all", 0)
        size, splitting = len(lengths), splitting_of(one.training)
        self._order = DataOrder(examples, batch_size=size, splitting=splitting, seed=0)

    def _step(self) -> None:
        batches = [DeviceBatch.of(batch, self._device) for batch in self._order.next_batch()]
        self.assembly.step.run(batches, sum(len(b.targets) for b in batches), lr=1e-3)


def ragged(setting: Setting, name: str) -> Iterator[Row]:
    """fft's step on a model of this name; packed rows should end in the loss that padded ones have."""
    lengths = TINY if setting.rehearse else LENGTHS
    table = f"fft on {name}, {len(lengths)} sequences of {min(lengths)} to {max(lengths)}: batching"
    plain: list[RaggedSteps] = []
    row = attempt(table, PLAIN, partial(_plain, setting, name, lengths, plain))
    yield row
    for batching in list(BATCHINGS)[1:] if plain else []:
        if setting.left() < 8:
            break
        yield attempt(
            table, batching, partial(_against, setting, name, lengths, batching, plain[0], row)
        )
        release(setting.device)
    plain.clear()
    release(setting.device)


def _made(
    setting: Setting, name: str, lengths: Sequence[int], batching: str
) -> tuple[RaggedSteps, Row]:
    """And its first step's loss, and what the second took beyond what was there."""
    options = dict(BATCHINGS[batching])
    if options.get("batching") == "by_length":
        options["micro_batch_size"] = len(lengths) // 2
    one = cell("fft", model(name, rehearse=setting.rehearse), len(lengths), max(lengths), **options)
    device = torch.device(setting.device)
    steps = RaggedSteps(one, lengths, device)
    steps.select(range(len(steps.assembly.groups.units)))
    row: Row = {"loss": steps.train(1)}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        steps.train(1)
        row["above_weights_and_state_bytes"] = torch.cuda.max_memory_allocated(device) - before
    return steps, row


def _plain(setting: Setting, name: str, lengths: Sequence[int], plain: list[RaggedSteps]) -> Row:
    steps, row = _made(setting, name, lengths, PLAIN)
    plain.append(steps)
    turns = by_turns({"plain": steps.train}, TURNS, STEPS, setting.device)["plain"]
    seconds = turns.median
    return row | {"step_seconds": seconds, "tokens_per_second": sum(lengths) / seconds}


def _against(
    setting: Setting,
    name: str,
    lengths: Sequence[int],
    batching: str,
    plain: RaggedSteps,
    of_plain: Row,
) -> Row:
    """A kernel of its own is in place for its own steps alone."""
    kernel = _varlen if batching == VARLEN else nullcontext
    if batching == VARLEN and setting.device == "cpu":
        raise NotHere("torch's varlen_attn is for CUDA devices")
    with kernel():
        other, row = _made(setting, name, lengths, batching)

    def within(number: int) -> float:
        with kernel():
            return other.train(number)

    turns = by_turns({"other": within, "plain": plain.train}, TURNS, STEPS, setting.device)
    seconds = turns["other"].median
    return row | {
        "loss_difference": abs(row["loss"] - of_plain["loss"]),
        "step_seconds": seconds,
        "tokens_per_second": sum(lengths) / seconds,
        **ratio(turns["other"], turns["plain"]),
    }


@contextmanager
def _varlen() -> Iterator[None]:
    """Inside, packed rows go through one call of torch's kernel for sequences of any lengths."""
    from torch.nn.attention.varlen import varlen_attn

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        packing: Packing,
        scaling: float | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        rows = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        ends, longest = _ends(packing.lengths, query.device), max(packing.lengths)
        found = varlen_attn(
            *rows,
            ends,
            ends,
            longest,
            longest,
            scale=scaling,
            window_size=(-1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return found[None], None

    with attending_by(attend):
        yield


@cache
def _ends(lengths: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """[sequences + 1]: where each begins and the last one ends."""
    return torch.tensor((0, *lengths)).cumsum(0).to(device, torch.int32)
