"""All choices of an item in one row: log-likelihoods are lm-eval's own, or it is not done."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from lwft_bench.evaluation import choice_trees, language_model
from lwft_bench.evaluation.choice_trees import (
    MOST_PLACES,
    Tree,
    fits_in_a_tree,
    log_likelihoods_of_trees,
    may_be_trees,
)
from lwft_bench.evaluation.language_model import FEWEST_TREES, ModelInMemory
from lwft_bench.evaluation.shared_contexts import Choices, log_likelihoods
from tests.evaluation.conftest import make_tokenizer
from tests.evaluation.test_converted import random_model
from tests.evaluation.test_leaving_rows import GEMMA, JAMBA, PADDING
from tests.evaluation.test_shared_contexts import Request
from tests.training.tiny import FAMILIES, LLAMA


def drawn(number: int, longest: int = 9, common: int = 2) -> list[Choices]:
    """Contexts of 1 to `longest` tokens, with continuations that begin alike and one that does not."""
    draw = torch.Generator().manual_seed(0)

    def ids(length: int) -> list[int]:
        return torch.randint(2, 48, (length,), generator=draw).tolist()

    found = []
    for one in range(number):
        start = ids(common)
        ends = [ids(1 + (one + k) % 3) for k in range(3)]
        found.append(Choices(ids(1 + one * 13 % longest), [*(start + end for end in ends), ids(2)]))
    return found


def requests_of(items: list[Choices]) -> list[Request]:
    return [
        (("", f"{number} {place}"), [*item.context], [*continuation])
        for number, item in enumerate(items)
        for place, continuation in enumerate(item.continuations)
    ]


def test_beginnings_that_continuations_share_stand_once() -> None:
    tree = Tree(Choices([1, 2], [[5, 6, 7], [5, 6, 8, 9], [3, 6], [5]]))
    assert tree.tokens == [1, 2, 5, 6, 8, 3]
    assert tree.ends == [[1, 2, 3], [1, 2, 3, 4], [1, 5], [1]]
    seen, positions = tree.seen()
    assert positions.tolist() == [0, 1, 2, 3, 4, 2]
    assert [row.nonzero()[0].tolist() for row in seen] == [
        [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 5]
    ]  # fmt: skip


def test_long_rows_are_no_trees() -> None:
    assert fits_in_a_tree(Choices([1] * (MOST_PLACES - 10), [[2] * 5, [3] * 5]))
    assert not fits_in_a_tree(Choices([1] * (MOST_PLACES - 10), [[2] * 5, [3] * 6]))


@pytest.mark.parametrize("batch_size", [2, 5, 64])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "qwen2"])
def test_log_likelihoods_are_lm_evals(
    family: str, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = random_model(FAMILIES[family]), make_tokenizer()
    requests = requests_of(drawn(FEWEST_TREES))
    answered: list[None] = []
    ours = ModelInMemory(model, tokenizer, batch_size, lambda: answered.append(None))
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
    monkeypatch.setattr(language_model, "contexts_may_be_shared", lambda model, padding: False)
    found, expected = (one._loglikelihood_tokens(requests, True) for one in (ours, theirs))
    assert len(answered) == len(requests)
    assert [same for _, same in found] == [same for _, same in expected]
    assert [value for value, _ in found] == pytest.approx(
        [value for value, _ in expected], abs=1e-3
    )


def test_an_item_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "may_be_trees", lambda model, items, padding: True)
    model, tokenizer = random_model(LLAMA), make_tokenizer()
    shapes: list[tuple[int, ...]] = []
    model.get_input_embeddings().register_forward_hook(
        lambda module, given, made: shapes.append(tuple(given[0].shape))
    )
    items = [Choices([5] * 30 + [k], [[7, 8, 9], [7, 8, 10], [4, 4]]) for k in range(FEWEST_TREES)]
    ours = ModelInMemory(model, tokenizer, 12, lambda: None)
    ours._loglikelihood_tokens(requests_of(items), disable_tqdm=True)
    assert shapes == [(4, 34)] * 4
    shapes.clear()
    ours._loglikelihood_tokens(requests_of(items[1:]), disable_tqdm=True)
    assert max(length for _, length in shapes) == 31, "of few items the contexts are shared"


@pytest.mark.parametrize(
    ("config", "may"),
    [
        (LLAMA, True),
        (FAMILIES["gpt2"], True),
        (GEMMA, False),
        (JAMBA, False),
        (FAMILIES["mistral"] | {"sliding_window": 32}, False),
        (FAMILIES["mistral"] | {"sliding_window": 64}, True),
    ],
    ids=["llama", "gpt2", "two windows", "state space", "window", "longer window"],
)
def test_whose_choices_may_be_trees(config: dict[str, Any], may: bool) -> None:
    """Rows have up to 43 tokens; a window counts where one is longer."""
    assert may_be_trees(random_model(config), drawn(4, longest=40), PADDING) is may


def test_what_sees_other_continuations_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(LLAMA)
    monkeypatch.setattr(
        choice_trees,
        "_added",
        lambda seen, dtype: torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype).triu_(1)[
            :, None
        ],
    )
    assert not may_be_trees(model, drawn(4), PADDING)


def test_16_bits_are_computed_and_summed_as_asked() -> None:
    model, items = random_model(LLAMA).to(torch.bfloat16), drawn(6)
    for dtype in (None, torch.float32):
        found = log_likelihoods_of_trees(model, items, PADDING, dtype)
        expected = log_likelihoods(model, items, PADDING, dtype)
        for one, other in zip(found, expected, strict=True):
            assert [value for value, _ in one] == pytest.approx([v for v, _ in other], rel=0.05)
