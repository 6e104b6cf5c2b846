"""Log-likelihoods of choices whose context is computed once are those of lm-eval's own model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from lwft_bench.evaluation import language_model
from lwft_bench.evaluation.language_model import ModelInMemory
from lwft_bench.evaluation.leaving_rows import generate_leaving
from lwft_bench.evaluation.left_padding import rows_may_leave
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


@pytest.mark.parametrize("batch_size", [4, 8])
def test_padding_takes_no_positions(batch_size: int) -> None:
    """A long context beside a short one with long answers: each row fits the table of positions."""
    config = {"model_type": "gpt2", "vocab_size": 48, "n_embd": 16, "n_layer": 2, "n_head": 2}
    model, tokenizer = model_of(config | {"n_positions": 32}), make_tokenizer()
    rows = [([5] * 28, [6, 7]), ([5] * 28, [7, 8, 9]), ([6], [7] * 20), ([6], [8] * 19)]
    requests: list[Request] = [(("", str(n)), *row) for n, row in enumerate(rows)]
    ours = ModelInMemory(model, tokenizer, batch_size, lambda: None)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    found, expected = (one._loglikelihood_tokens(requests, True) for one in (ours, theirs))
    assert [value for value, _ in found] == pytest.approx(
        [value for value, _ in expected], abs=1e-4
    )


def test_16_bits_are_added_up_as_lm_eval_does() -> None:
    """Choices of one token go lm-eval's way, and stand beside others."""
    model, tokenizer = model_of(LLAMA).to(torch.bfloat16), make_tokenizer()
    draw = torch.Generator().manual_seed(0)
    requests: list[Request] = []
    for n in range(20):
        context = torch.randint(2, 48, (6,), generator=draw).tolist()
        for choice in torch.randint(2, 48, (4, 4), generator=draw).tolist():
            requests.append((("", f"{n} {choice}"), context, choice))
    ours = ModelInMemory(model, tokenizer, 8, lambda: None)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    found, expected = (one._loglikelihood_tokens(requests, True) for one in (ours, theirs))
    off = [abs(a - b) for (a, _), (b, _) in zip(found, expected, strict=True)]
    assert sum(one > 0 for one in off) < len(off) / 2 and max(off) < 0.2


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
         "original_max_position_embeddings": 32, "factor": 4.0},
    ],
    ids=["dynamic", "longrope"],
)  # fmt: skip
def test_angles_that_follow_the_longest_row(scaling: dict[str, Any]) -> None:
    """A context's angles are those of the whole row, and a row's change when another one leaves."""
    model = model_of(LLAMA | {"rope_parameters": {"rope_theta": 1e4, **scaling}})
    assert not contexts_may_be_shared(model, PADDING)
    assert not rows_may_leave(model, PADDING, generate_leaving)


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
