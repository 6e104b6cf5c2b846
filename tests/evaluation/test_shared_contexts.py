"""Log-likelihoods of choices whose context is computed once are those of lm-eval's own model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from lwft_bench.evaluation import language_model
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.evaluation.shared_contexts import Choices, contexts_may_be_shared, log_likelihoods
from tests.evaluation.conftest import make_tokenizer
from tests.evaluation.test_leaving_rows import GEMMA, JAMBA, PADDING, model_of
from tests.training.tiny import LLAMA

Request = tuple[tuple[str, str], list[int], list[int]]


@pytest.mark.parametrize("config", [LLAMA, GEMMA], ids=["llama", "sliding window"])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_log_likelihoods_are_lm_evals(config: dict[str, Any], batch_size: int) -> None:
    """Choices of one token and of several, contexts longer than a window, one that stands twice with
    others between, and one that has a single choice."""
    model, tokenizer = model_of(config), make_tokenizer()
    draw = torch.Generator().manual_seed(0)

    def ids(length: int) -> list[int]:
        return torch.randint(2, 48, (length,), generator=draw).tolist()

    contexts = [ids(length) for length in (3, 12, 7, 1, 5, 20)]
    choices = {0: (2, 5, 1), 1: (4, 4), 2: (1, 1, 1), 3: (3, 2, 6, 2), 4: (3,), 5: (2, 3)}
    requests: list[Request] = [
        (("", f"{one} {length}"), contexts[one], ids(length))
        for one, lengths in choices.items()
        for length in lengths
    ]
    requests = requests[::2] + requests[1::2]
    answered: list[None] = []
    ours = ModelInMemory(model, tokenizer, batch_size, lambda: answered.append(None))
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    found = ours._loglikelihood_tokens(requests, disable_tqdm=True)
    expected = theirs._loglikelihood_tokens(requests, disable_tqdm=True)
    assert len(answered) == len(requests)
    assert [same for _, same in found] == [same for _, same in expected]
    assert [value for value, _ in found] == pytest.approx(
        [value for value, _ in expected], abs=1e-4
    )


def test_a_context_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "contexts_may_be_shared", lambda model, padding: True)
    model, tokenizer = model_of(LLAMA), make_tokenizer()
    shapes: list[tuple[int, ...]] = []
    model.get_input_embeddings().register_forward_hook(
        lambda module, given, made: shapes.append(tuple(given[0].shape))
    )
    choices = [list(range(3 + k, 6 + k)) for k in range(4)]
    ours = ModelInMemory(model, tokenizer, 8, lambda: None)
    requests: list[Request] = [(("", str(c)), [5] * 30, c) for c in choices]
    ours._loglikelihood_tokens(requests, disable_tqdm=True)
    assert shapes == [(1, 30), (4, 2)]
    shapes.clear()
    ModelInMemory(model, tokenizer, 2, lambda: None)._loglikelihood_tokens(requests, True)
    assert shapes == [(1, 30), (2, 2)] * 2, "no more rows than the batch may have"


@pytest.mark.parametrize(
    ("config", "may"),
    [(LLAMA, True), (GEMMA, True), (JAMBA, False)],
    ids=["llama", "sliding window", "state space"],
)
def test_whose_contexts_may_be_shared(config: dict[str, Any], may: bool) -> None:
    assert contexts_may_be_shared(model_of(config), PADDING) is may


def test_a_cache_of_another_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is given the first one's keys and values."""
    model = model_of(LLAMA)
    from transformers import Cache

    select = Cache.batch_select_indices
    monkeypatch.setattr(
        Cache, "batch_select_indices", lambda self, rows: select(self, torch.zeros_like(rows))
    )
    log_likelihoods(model, [Choices([1, 2], [[3, 4], [5]])], PADDING)
    assert not contexts_may_be_shared(model, PADDING)
