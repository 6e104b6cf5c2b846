"""Answers are the model's own where each of their tokens is, and where they end as they ought to."""

from __future__ import annotations

import pytest

from lwft_bench.evaluation.confirming import Answered, num_confirmed
from lwft_bench.evaluation.stopping import Endings
from tests.evaluation.conftest import make_tokenizer
from tests.evaluation.test_converted import greedy, random_model
from tests.training.tiny import FAMILIES

PROMPTS = [[7, 3, 9], [4], [11, 2, 5, 8, 30, 31, 2], [6, 6], [40, 41]]


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_every_token_of_an_answer_counts(family: str, batch_size: int) -> None:
    model = random_model(FAMILIES[family])
    lengths = [5, 1, 4, 6, 3]
    answers = [
        row[:length]
        for row, length in zip(greedy(model, PROMPTS, max(lengths)), lengths, strict=True)
    ]
    own = [Answered(p, a, ends=True) for p, a in zip(PROMPTS, answers, strict=True)]
    assert num_confirmed(model, own, batch_size) == len(own)
    for number, answer in enumerate(answers):
        for place in range(len(answer)):
            other = [*answer[:place], (answer[place] + 1) % 48, *answer[place + 1 :]]
            others = [*own]
            others[number] = Answered(PROMPTS[number], other, ends=True)
            assert num_confirmed(model, others, batch_size) == len(own) - 1
    unended = [*own[:-1], Answered(PROMPTS[-1], answers[-1], ends=False)]
    assert num_confirmed(model, unended, batch_size) == len(own) - 1
    assert num_confirmed(model, [], batch_size) == 0


def test_where_an_answer_ends() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer("abab cd\nab").input_ids
    end = tokenizer.eos_token_id
    assert Endings(tokenizer, ["\n"]).length(ids, 20) == 8
    assert Endings(tokenizer, ["\n"]).length(ids, 5) == 5
    assert Endings(tokenizer, ["b c", "zz"]).length(ids, 20) == 6
    assert Endings(tokenizer, []).length(ids, 20) == 20, "nothing ended it: it is too short"
    assert Endings(tokenizer, []).length([*ids[:3], end, *ids], 20) == 4
