"""Rows end where a stop text is complete, and are decoded only where one can be."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lwft_bench.evaluation.stopping import Endings, StopTexts
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.schema.cell import ModelConfig

PROMPT, ROWS, STEPS = 4, 16, 40
TOKENIZER = load_tokenizer(ModelConfig(name="embedded", path="embedded"))


def generated(seed: int) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.integers(0, len(TOKENIZER), (ROWS, PROMPT + STEPS)))


def expected_end(row: Sequence[int], texts: Sequence[str]) -> int | None:
    """The first step after which a text stands in all that was generated."""
    for end in range(1, STEPS + 1):
        answer = row[PROMPT : PROMPT + end]
        if answer[-1] == TOKENIZER.eos_token_id:
            return end
        if any(text in TOKENIZER.decode(answer) for text in texts):
            return end
    return None


@pytest.mark.parametrize(
    "texts", [("\n",), ("\n\n", "Question:"), ("e",), ("The ",), ("7", "th"), ("é",)]
)
def test_rows_end_as_if_all_of_them_were_decoded_at_every_step(texts: tuple[str, ...]) -> None:
    ids = generated(len(texts[0]))
    rule = StopTexts(TOKENIZER, texts, prompt_length=PROMPT, batch_size=ROWS)
    ends: list[int | None] = [None] * ROWS
    for step in range(1, STEPS + 1):
        for row, done in enumerate(rule(ids[:, : PROMPT + step], torch.empty(0)).tolist()):
            ends[row] = step if done and ends[row] is None else ends[row]
            assert done == (ends[row] is not None)
    assert ends == [expected_end(row.tolist(), texts) for row in ids]


def test_only_rows_whose_last_token_can_complete_a_text_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newline = TOKENIZER("\n", add_special_tokens=False).input_ids[-1]
    word = TOKENIZER("three", add_special_tokens=False).input_ids[-1]
    rule = StopTexts(TOKENIZER, ("\n",), prompt_length=1, batch_size=2)
    decoded: list[list[int]] = []
    monkeypatch.setattr(Endings, "end", lambda self, tail: bool(decoded.append(tail)))
    rule(torch.tensor([[word, word], [word, newline]]), torch.empty(0))
    assert decoded == [[newline]]


def test_a_token_that_the_tokenizer_does_not_know_ends_nothing_and_fails_nothing() -> None:
    rule = StopTexts(TOKENIZER, ("\n",), prompt_length=1, batch_size=1)
    unknown = torch.tensor([[0, len(TOKENIZER) + 7]])
    try:
        TOKENIZER.decode([len(TOKENIZER) + 7])
    except (OverflowError, ValueError, IndexError):
        pytest.skip("this tokenizer cannot decode it")
    assert rule(unknown, torch.empty(0)).tolist() == [False]
