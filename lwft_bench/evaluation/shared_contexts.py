"""Log-likelihoods of several continuations of one context, which is computed once.

lm-eval computes the context of a multiple-choice item anew for each of its choices. Here the context's
keys and values serve all of them. Whether log-likelihoods stay the same is looked at once a model.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from lwft_bench.evaluation.left_padding import angles_follow_the_longest, rounding

LogLikelihood = tuple[float, bool]
"""Of a continuation, in nats; and whether each of its tokens is the most likely one."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Token ids of a context and of what may follow it; none of them is empty."""

    context: Sequence[int]
    continuations: Sequence[Sequence[int]]


def log_likelihoods(
    model: Any, batch: Sequence[Choices], padding: int, dtype: torch.dtype | None = None
) -> list[list[LogLikelihood]]:
    """For each of the batch's contexts those of its continuations, in their order.

    Args:
        dtype: In which they are computed and summed; None: the logits'.
    """
    device = next(model.parameters()).device
    contexts = [torch.tensor(one.context, device=device) for one in batch]
    answers = [torch.tensor(a, device=device) for one in batch for a in one.continuations]
    counts = torch.tensor([len(one.continuations) for one in batch], device=device)
    rows = torch.arange(len(batch), device=device).repeat_interleave(counts)
    tokens = pad_sequence(contexts, True, padding, padding_side="left")
    mask = pad_sequence([torch.ones_like(one) for one in contexts], True, 0, padding_side="left")
    padded = pad_sequence(answers, True, padding)
    is_given = pad_sequence([torch.ones_like(one) for one in answers], True, 0)[:, :-1]
    with torch.inference_mode():
        outputs = _forward(model, tokens, mask, None, logits_to_keep=1)
        logits = outputs.logits[rows, -1:]
        if padded.shape[1] > 1:
            given = padded[:, :-1]
            outputs.past_key_values.batch_select_indices(rows)
            mask = torch.cat([mask[rows], is_given], 1)  # or padding had positions of its own
            later = _forward(model, given, mask, outputs.past_key_values).logits
            logits = torch.cat([logits, later], 1)
        found = functional.log_softmax(logits, -1, dtype=dtype)
        values = found.gather(2, padded[..., None])[..., 0]
        likely = logits.argmax(-1) == padded
    each = iter(
        (float(value[: len(answer)].sum()), bool(same[: len(answer)].all()))
        for value, same, answer in zip(values, likely, answers, strict=True)
    )
    return [[next(each) for _ in one.continuations] for one in batch]


def contexts_may_be_shared(model: Any, padding: int) -> bool:
    """Compares log-likelihoods of continuations beside one another and beside another context with those
    of each alone.

    A model whose cache cannot be taken apart by rows, takes one token at a time or is kept elsewhere may
    raise anything at all: its contexts are not shared. Nor are those of one whose angles of a context
    would be others in a longer row.
    """
    if angles_follow_the_longest(model):
        return False
    size = model.get_input_embeddings().weight.shape[0]
    ids = [(number * 7 + 5) % size for number in range(24)]
    batch = [Choices(ids[:4], [ids[4:7], ids[7:12]]), Choices(ids[12:21], [ids[21:], ids[:2]])]
    try:
        shared = log_likelihoods(model, batch, padding, torch.float32)
    except Exception:  # of a model's own code, which may raise anything
        return False
    return as_whole_rows(model, batch, shared)


def as_whole_rows(
    model: Any, batch: Sequence[Choices], found: Sequence[Sequence[LogLikelihood]]
) -> bool:
    """Whether items' first and last log-likelihoods are, within rounding, those of rows of their own."""
    for one, its in zip(batch, found, strict=True):
        values = torch.tensor([value for value, _ in (its[0], its[-1])])
        expected, scales = _whole(model, one.context, [one.continuations[k] for k in (0, -1)])
        if not ((values - expected).abs() <= scales * rounding(model)).all():
            return False
    return True


def logits_from(first: int, model: Any, tokens: torch.Tensor, **options: Any) -> torch.Tensor:
    """Those of places from `first` on, [rows, places, vocabulary], without a cache.

    Models that can are spared the others.
    """
    takes = inspect.signature(model.forward).parameters
    kept = {"logits_to_keep": tokens.shape[1] - first} if "logits_to_keep" in takes else {}
    logits: torch.Tensor = model(input_ids=tokens, use_cache=False, **options, **kept).logits
    return logits if kept else logits[:, first:]


def _whole(
    model: Any, context: Sequence[int], continuations: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-likelihoods from whole rows without a cache, and the spread of the logits times their tokens.

    Rows are padded on the right, without a mask.
    """
    device = next(model.parameters()).device
    rows = [torch.tensor([*context, *one], device=device) for one in continuations]
    tokens = pad_sequence(rows, True, 0)
    with torch.inference_mode():
        logits = model(input_ids=tokens[:, :-1]).logits[:, len(context) - 1 :].float()
    given = tokens[:, len(context) :]
    lengths = torch.tensor([[len(one)] for one in continuations], device=device)
    is_given = torch.arange(given.shape[1], device=device) < lengths
    values = functional.log_softmax(logits, -1).gather(2, given[..., None])[..., 0]
    spread = logits[is_given].std()
    return (values * is_given).sum(1).cpu(), (lengths[:, 0] * spread).cpu()


def _forward(
    model: Any, tokens: torch.Tensor, mask: torch.Tensor, cache: Any, **options: Any
) -> Any:
    """tokens: [rows, new]; mask: [rows, cached and new]."""
    takes = inspect.signature(model.forward).parameters
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    options = {"position_ids": positions, **options}
    return model(
        input_ids=tokens,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        **{name: value for name, value in options.items() if name in takes},
    )
