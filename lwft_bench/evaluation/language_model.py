"""The model in memory as lm-eval's evaluator sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import (
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from lwft_bench.data.batching import encode_pair, encode_pairs
from lwft_bench.data.examples import Example
from lwft_bench.evaluation.choice_trees import (
    fits_in_a_tree,
    log_likelihoods_of_trees,
    may_be_trees,
)
from lwft_bench.evaluation.leaving_rows import generate_leaving
from lwft_bench.evaluation.left_padding import (
    Together,
    generated_without_padding,
    rows_may_leave,
    rows_together,
)
from lwft_bench.evaluation.not_finite import NanWatch, NotFinite
from lwft_bench.evaluation.shared_contexts import (
    Choices,
    LogLikelihood,
    contexts_may_be_shared,
    log_likelihoods,
)
from lwft_bench.evaluation.stopping import StopTexts
from lwft_bench.schema.result import AnswerEngine

FEWEST_TREES = 16
"""Items with choices from which on to look whether trees are right: for less that takes too long."""


class ModelInMemory(HFLM):
    """lm-eval's own transformers model, with the boundary of training and no progress bars.

    on_answer is called after each answered request.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        on_answer: Callable[[], None],
    ) -> None:
        # lm-eval would tie head and embeddings by the config, also of a model that has two matrices.
        with patch.object(model, "tie_weights"):
            super().__init__(
                pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size
            )
        self.set_cache_hook(_AnswerHook(on_answer))
        self.rows_together: Together | None = None
        """Which rows are generated for at once; None before anything is generated."""
        self._may_leave = False
        self._encoded: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        self.engine: AnswerEngine | None = None
        """What generated the answers; None: transformers, or nothing was generated."""

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        return super().generate_until(requests, disable_tqdm=True)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        # Many at once take a third of the time.
        asked = [Example(*one.args) for one in requests]
        encoded = encode_pairs(asked, self.tokenizer)
        self._encoded = dict(zip([one.args for one in requests], encoded, strict=True))
        answers = super().loglikelihood(requests, disable_tqdm=True)
        for value, _ in answers:
            if not math.isfinite(value):
                raise NotFinite(f"a log-likelihood is {value}")
        return answers

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[LogLikelihood]:
        """Contexts of several continuations are computed once; lm-eval answers the rest."""
        places: dict[tuple[int, ...], list[int]] = {}
        for place, (_, context, continuation) in enumerate(requests):
            if 1 < len(continuation) <= self.max_length - len(context):
                places.setdefault(tuple(context), []).append(place)
        size = self.batch_size
        shared = [
            its[k : k + size]
            for its in places.values()
            if len(its) > 1 and size > 1
            for k in range(0, len(its), size)
        ]
        items = {
            tuple(its): Choices(requests[its[0]][1], [requests[k][2] for k in its])
            for its in shared
        }
        found: dict[int, LogLikelihood] = {}
        for way, groups in self._ways_to_share(items):
            groups.sort(
                key=lambda its: -max(len(requests[k][1]) + len(requests[k][2]) for k in its)
            )
            for its_places in _batches(groups, size):
                batch = [items[its] for its in its_places]
                answered = way(self.model, batch, self.tokenizer.pad_token_id, self.softmax_dtype)
                for its, answers in zip(its_places, answered, strict=True):
                    for place, answer in zip(its, answers, strict=True):
                        found[place] = answer
                        self.cache_hook.add_partial("loglikelihood", requests[place][0], answer)
        rest = [place for place in range(len(requests)) if place not in found]
        others = super()._loglikelihood_tokens(
            [requests[place] for place in rest], disable_tqdm, override_bs
        )
        found |= dict(zip(rest, others, strict=True))
        return [found[place] for place in range(len(requests))]

    def _ways_to_share(
        self, items: dict[tuple[int, ...], Choices]
    ) -> Iterator[tuple[Callable[..., list[list[LogLikelihood]]], list[tuple[int, ...]]]]:
        """How continuations of one context are answered, and which items so; the rest are lm-eval's."""
        padding = self.tokenizer.pad_token_id
        trees = {its: one for its, one in items.items() if fits_in_a_tree(one)}
        if len(trees) >= FEWEST_TREES and may_be_trees(self.model, [*trees.values()], padding):
            yield log_likelihoods_of_trees, [*trees]
            items = {its: one for its, one in items.items() if its not in trees}
        if items and contexts_may_be_shared(self.model, padding):
            yield log_likelihoods, [*items]

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        """Without padding where the model's answers would depend on it."""
        padding = self.tokenizer.pad_token_id
        if self.rows_together is None:
            self.rows_together = rows_together(self.model, padding)
            self._may_leave = self.rows_together == "any" and rows_may_leave(
                self.model, padding, partial(generate_leaving, long=1)
            )
        if self.rows_together == "any":
            return self._generate(context, max_length, stop, **options)
        mask, longest = options.pop("attention_mask"), context.shape[1]

        def generate(rows: torch.Tensor) -> torch.Tensor:
            limit = max_length - longest + rows.shape[1]
            return self._generate(
                rows, limit, stop, attention_mask=torch.ones_like(rows), **options
            )

        single = self.rows_together == "single"
        return generated_without_padding(context, mask, padding, generate, single=single)

    def _generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any
    ) -> torch.Tensor:
        """Greedy rows end and leave one by one; beam search has rows to choose from, and ends as one."""
        texts = [text for text in stop if text != self.tokenizer.eos_token]
        criteria = StoppingCriteriaList()
        greedy = options.get("num_beams", 1) == 1
        if greedy and self._may_leave:
            options["custom_generate"] = generate_leaving
        if greedy and texts:
            rows, length = context.shape
            criteria.append(StopTexts(self.tokenizer, texts, prompt_length=length, batch_size=rows))
        options.pop("temperature", None)  # lm-eval's default, which nothing here samples with
        watch = NanWatch(context.device)
        generated = self.model.generate(
            input_ids=context,
            max_length=max_length,
            stopping_criteria=criteria,
            logits_processor=LogitsProcessorList([watch]),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            **options,
        )
        watch.require_numbers()
        return generated

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        known = self._encoded.get((context, continuation))
        return known or encode_pair(self.tokenizer, context, continuation)


def _batches(groups: list[tuple[int, ...]], limit: int) -> Iterator[list[tuple[int, ...]]]:
    """Groups in their order, together as long as no more than `limit` places are in a batch."""
    batch: list[tuple[int, ...]] = []
    for group in groups:
        if batch and sum(map(len, batch)) + len(group) > limit:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


class _AnswerHook:
    """lm-eval tells its cache of every answer; there is no cache here, so this listens."""

    def __init__(self, on_answer: Callable[[], None]) -> None:
        self._on_answer = on_answer

    def add_partial(self, attribute: str, request: Any, response: Any) -> None:
        self._on_answer()
