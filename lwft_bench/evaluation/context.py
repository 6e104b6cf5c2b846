"""Whether a benchmark's items fit into a model's context, answers included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lwft_bench.data.benchmarks import BenchmarkConfig
from lwft_bench.data.examples import Item
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def require_room(
    benchmark: BenchmarkConfig,
    items: Sequence[Item],
    max_new_tokens: int | None,
    tokenizer: PreTrainedTokenizerBase,
    room: int,
) -> None:
    """lm-eval would cut the beginning of prompts that are too long, and only log it.

    Args:
        max_new_tokens: Of a generated answer; None for choices, which are part of what is read.
        room: Tokens that the model takes.

    Raises:
        UserError: an item needs more.
    """
    asked = [(item, item.prompt + choice) for item in items for choice in item.choices or ("",)]
    lengths = [len(ids) for ids in tokenizer([text for _, text in asked]).input_ids]
    answer = max_new_tokens or 0
    beyond = {
        item.id for (item, _), length in zip(asked, lengths, strict=True) if length + answer > room
    }
    if not beyond:
        return
    longest = max(lengths)
    worst = asked[lengths.index(longest)][0]
    parts = f"{longest} of its prompt, {answer} for its answer" if answer else "with its choice"
    fitting = room - longest
    raise UserError(
        f"benchmark {benchmark.name}: item {worst.id} needs {longest + answer} tokens ({parts}), and "
        f"the model has room for {room}; of {len(items)} items {len(beyond)} do not fit",
        f"set evaluation.max_new_tokens to {fitting} or less"
        if fitting > 0
        else "leave such items out of the benchmark, or take a model with a longer context",
    )
