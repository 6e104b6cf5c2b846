"""Training and validation examples as a cell will train on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lwft_bench.data.batching import TokenisedExamples, tokenise
from lwft_bench.data.examples import Example, TaskData
from lwft_bench.data.micro_batches import PADDED_TO, padded_length
from lwft_bench.schema.cell import Cell, TaskConfig
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lwft_bench.preflight.structure import Structure
    from lwft_bench.schema.findings import Findings

_SHOWN = 40
"""Characters of a text that a message shows."""


def check_training(
    cell: Cell,
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    structure: Structure,
    findings: Findings,
) -> None:
    """Raises:
    UserError: the examples cannot be tokenised, or none is left.
    """
    config, task = cell.training, cell.task
    where = f"model {cell.model.name}, task {task.name}"
    _check_empty(data, task, where, findings)
    _warn_of_trained_validation(data, where, findings)
    sets: list[tuple[str, Sequence[Example], Literal["target", "all"]]] = [
        ("training", data.train, config.loss_on),
        ("validation", data.validation, "target"),
    ]
    for what, examples, loss_on in sets:
        tokenised = tokenise(examples, tokenizer, config.max_length, loss_on)
        if not len(tokenised):
            continue
        _check_dropped(tokenised, what, cell, where, findings)
        _check_ids(tokenised, what, tokenizer, structure, where)
        prompts = zip(tokenised.token_ids, tokenised.num_prompt_tokens, strict=True)
        begins = [ids[:length] for ids, length in prompts]
        warn_of_second_beginnings(begins, f"{what} examples", tokenizer, where, findings)
        _warn_of_second_ends(tokenised, what, tokenizer, where, findings)
        if min(map(len, tokenised.token_ids)) < 2:
            findings.problem(
                f"{where}: a {what} example has no token but the end of the sequence: nothing could "
                "be predicted from it",
                "give it a prompt, or a target that the tokenizer has tokens for",
            )
        _check_positions(max(map(len, tokenised.token_ids)), what, structure, where, findings)


def _check_empty(data: TaskData, task: TaskConfig, where: str, findings: Findings) -> None:
    if data.num_empty:
        share = data.num_empty / data.num_read
        text = (
            f"{where}: {data.num_empty} of {data.num_read} rows of the data files have an empty "
            "target and are left out"
        )
        _tell(share, text, task, None, findings)


def _warn_of_trained_validation(data: TaskData, where: str, findings: Findings) -> None:
    """Of data from files: a validation loss on them, and what tuning chooses by it, would flatter."""
    trained = {(example.prompt, example.target) for example in data.train}
    count = sum((example.prompt, example.target) in trained for example in data.validation)
    if count and data.num_read:
        findings.warn(
            f"{where}: {count} of {len(data.validation)} validation examples are training examples "
            "too, word for word"
        )


def _check_dropped(
    tokenised: TokenisedExamples, what: str, cell: Cell, where: str, findings: Findings
) -> None:
    if tokenised.num_dropped:
        total = tokenised.num_dropped + len(tokenised)
        text = (
            f"{where}: {tokenised.num_dropped} of {total} {what} examples are left out: "
            f"training.max_length = {cell.training.max_length} leaves nothing of their target"
        )
        _tell(tokenised.num_dropped / total, text, cell.task, "raise training.max_length", findings)


def _tell(share: float, text: str, task: TaskConfig, help_: str | None, findings: Findings) -> None:
    if share <= task.max_left_out:
        findings.warn(text)
        return
    allow = f"to allow it: `max_left_out: {min(1.0, round(share + 0.005, 2))}` in the task"
    findings.problem(
        f"{text}; task.max_left_out allows {task.max_left_out:.0%}",
        f"{help_}; {allow}" if help_ else allow,
    )


def _check_ids(
    tokenised: TokenisedExamples,
    what: str,
    tokenizer: PreTrainedTokenizerBase,
    structure: Structure,
    where: str,
) -> None:
    for ids in tokenised.token_ids:
        require_embedded(ids, f"a {what} example", tokenizer, structure, where)


def require_embedded(
    ids: Sequence[int],
    whose: str,
    tokenizer: PreTrainedTokenizerBase,
    structure: Structure,
    where: str,
) -> None:
    """Raises:
    UserError: one of a text's ids has no embedding.
    """
    if max(ids, default=0) < structure.num_embeddings:
        return
    position, found = next(
        (i, token) for i, token in enumerate(ids) if token >= structure.num_embeddings
    )
    text = tokenizer.decode([*ids[max(0, position - 8) : position + 1]])[-_SHOWN:]
    raise UserError(
        f"{where}: {whose} has the token {tokenizer.convert_ids_to_tokens(found)!r} with id {found} "
        f"(at the end of {text!r}), and the model has {structure.num_embeddings} embeddings",
        "name the tokenizer that the model was trained with: `tokenizer: ...` of the model",
    )


def warn_of_second_beginnings(
    prompts: Sequence[Sequence[int]],
    whose: str,
    tokenizer: PreTrainedTokenizerBase,
    where: str,
    findings: Findings,
) -> None:
    """Texts that were written for a model have its beginning-of-sequence token in them already."""
    begin = tokenizer.bos_token_id
    count = sum([*ids[:2]] == [begin, begin] for ids in prompts)
    if begin is not None and count:
        findings.warn(
            f"{where}: {count} of {len(prompts)} {whose} begin with {tokenizer.bos_token} twice: it "
            "stands in the text, and the tokenizer puts one before it"
        )


def _warn_of_second_ends(
    tokenised: TokenisedExamples,
    what: str,
    tokenizer: PreTrainedTokenizerBase,
    where: str,
    findings: Findings,
) -> None:
    end = tokenizer.eos_token_id
    count = sum(ids[-2:] == [end, end] for ids in tokenised.token_ids)
    if count:
        findings.warn(
            f"{where}: {count} of {len(tokenised)} {what} examples end with {tokenizer.eos_token} "
            "twice: it stands in the text, and every example gets one"
        )


def _check_positions(
    longest: int, what: str, structure: Structure, where: str, findings: Findings
) -> None:
    padded = padded_length(longest)
    if structure.position_table is not None and padded > structure.position_table:
        room = structure.position_table // PADDED_TO * PADDED_TO
        findings.problem(
            f"{where}: the longest {what} example has {longest} tokens, padded to {padded}, and the "
            f"model has a table of {structure.position_table} positions",
            f"set training.max_length to {room} or less",
        )
    elif structure.trained_length is not None and longest > structure.trained_length:
        findings.warn(
            f"{where}: the longest {what} example has {longest} tokens, and the model's config "
            f"speaks of {structure.trained_length} (max_position_embeddings)"
        )
