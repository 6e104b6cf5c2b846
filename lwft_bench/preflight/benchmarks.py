"""The items of a cell's benchmarks as it will be asked them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lwft_bench.data.batching import encode_pairs
from lwft_bench.data.benchmarks import BenchmarkConfig, load_benchmark
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.extraction import NUMERIC_TOLERANCE, WHOLE_RESPONSE, is_next_to_nothing
from lwft_bench.data.items import load_items
from lwft_bench.evaluation.context import require_room
from lwft_bench.preflight.training_texts import require_embedded, warn_of_second_beginnings
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lwft_bench.preflight.structure import Structure
    from lwft_bench.schema.findings import Findings


def check_benchmarks(
    cell: Cell, tokenizer: PreTrainedTokenizerBase, structure: Structure, findings: Findings
) -> None:
    """Raises:
    UserError: there is no benchmark, or the tokenizer has no chat template where the task asks for
        one.
    """
    from lm_eval.models.utils import resolve_max_length

    task = cell.task
    where = f"model {cell.model.name}, task {task.name}"
    if not task.benchmarks:
        raise UserError(
            f"task {task.name} names no benchmark: its cells would have nothing to be compared by",
            "name one under `benchmarks`: `lwft-bench list benchmarks`",
        )
    template = ChatTemplate(tokenizer, task.chat_template_options) if task.chat_template else None
    room = resolve_max_length(structure.config, tokenizer)
    for name in task.benchmarks:
        with findings.collected(where):
            benchmark, items = load_benchmark(name).under(task.profile), load_items(task, name)
            if template is not None:
                items = [template.item(item) for item in items]
            prompts = _check_items(benchmark, items, tokenizer, structure, where)
            whose = f"prompts of benchmark {benchmark.name}"
            warn_of_second_beginnings(prompts, whose, tokenizer, where, findings)
            max_new_tokens = cell.evaluation.max_new_tokens or benchmark.max_new_tokens
            require_room(benchmark, items, max_new_tokens, tokenizer, room)
            _warn_of_long_answers(benchmark, items, max_new_tokens, tokenizer, where, findings)
            _warn_of_small_answers(benchmark, items, where, findings)


def _check_items(
    benchmark: BenchmarkConfig,
    items: Sequence[Item],
    tokenizer: PreTrainedTokenizerBase,
    structure: Structure,
    where: str,
) -> list[list[int]]:
    """The token ids of the prompts.

    Raises:
        UserError: a prompt or a choice has no token, or one that the model has no embedding for.
    """
    asked = [(item, choice) for item in items for choice in item.choices or ("",)]
    pairs = encode_pairs([Example(item.prompt, choice) for item, choice in asked], tokenizer)
    for (item, choice), (prompt, continuation) in zip(asked, pairs, strict=True):
        whose = f"benchmark {benchmark.name}: item {item.id}"
        if not prompt and not item.choices:
            raise UserError(f"{where}: {whose}: its prompt has no token under this tokenizer")
        if item.choices and not continuation:
            raise UserError(
                f"{where}: {whose}: the choice {choice!r} has no token under this tokenizer, so that "
                "it has no likelihood"
            )
        require_embedded([*prompt, *continuation], whose, tokenizer, structure, where)
    prompts = {item.id: prompt for (item, _), (prompt, _) in zip(asked, pairs, strict=True)}
    return list(prompts.values())


def _warn_of_small_answers(
    benchmark: BenchmarkConfig, items: Sequence[Item], where: str, findings: Findings
) -> None:
    small = [item.answer for item in items if is_next_to_nothing(item.answer)]
    if benchmark.metric == "numeric_match" and small:
        findings.warn(
            f"{where}: {len(small)} of {len(items)} answers of benchmark {benchmark.name}, such as "
            f"{small[0]}, are not told apart from 0 (numeric_match: within {NUMERIC_TOLERANCE})"
        )


def _warn_of_long_answers(
    benchmark: BenchmarkConfig,
    items: Sequence[Item],
    max_new_tokens: int | None,
    tokenizer: PreTrainedTokenizerBase,
    where: str,
    findings: Findings,
) -> None:
    """Where the whole response is compared, an answer of more tokens than it may have is never right."""
    if benchmark.extraction != WHOLE_RESPONSE or max_new_tokens is None:
        return
    answers = tokenizer([item.answer for item in items], add_special_tokens=False).input_ids
    longer = [len(ids) for ids in answers if len(ids) > max_new_tokens]
    if longer:
        findings.warn(
            f"{where}: {len(longer)} of {len(items)} answers of benchmark {benchmark.name} have more "
            f"tokens (up to {max(longer)}) than a response may have (max_new_tokens: {max_new_tokens}): "
            "none can be right"
        )
