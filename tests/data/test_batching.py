from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lwft_bench.data.batching import (
    IGNORED,
    Batch,
    DataOrder,
    TokenisedExamples,
    batches,
    collate,
    encode_pair,
    tokenise,
)
from lwft_bench.data.examples import Example
from lwft_bench.data.micro_batches import Splitting
from lwft_bench.schema.errors import UserError

EXAMPLES = [Example("Q: 1+1=", " 2"), Example("Q: 20+22=", " 42"), Example("Q: a?", " no")]


def numbered(count: int) -> TokenisedExamples:
    """Example i has i % 7 + 2 tokens, all of them i + 10, of which the first is the prompt."""
    ids = [[index + 10] * (index % 7 + 2) for index in range(count)]
    return TokenisedExamples(ids, [1] * count, "target", padding_id=1)


def drawn(micro_batches: list[Batch]) -> list[int]:
    return [int(row[0]) - 10 for batch in micro_batches for row in batch.input_ids]


def test_target_follows_prompt_and_ends(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenised = tokenise(EXAMPLES, tokenizer, 64, "target")
    prompt, target = encode_pair(tokenizer, EXAMPLES[1].prompt, EXAMPLES[1].target)
    assert prompt == tokenizer("Q: 20+22=").input_ids
    assert tokenizer.convert_ids_to_tokens(target) == [" ", "4", "2"]
    assert tokenised.token_ids[1] == [*prompt, *target, tokenizer.eos_token_id]
    assert tokenised.num_prompt_tokens[1] == len(prompt)
    assert (tokenised.num_truncated, tokenised.num_dropped) == (0, 0)


def test_a_token_never_spans_the_boundary(merging_tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, target = encode_pair(merging_tokenizer, "Q: a", "bab")
    assert merging_tokenizer.convert_ids_to_tokens(prompt) == ["Q", ":", " ", "a"]
    assert merging_tokenizer.convert_ids_to_tokens(target) == ["b", "ab"]


def test_the_target_gets_no_second_space(spacing_tokenizer: PreTrainedTokenizerFast) -> None:
    assert spacing_tokenizer.tokenize(" 5") == ["▁", "▁5"]
    _, target = encode_pair(spacing_tokenizer, "Q:", " 5")
    assert spacing_tokenizer.convert_ids_to_tokens(target) == ["▁5"]


def test_long_examples_are_cut_on_the_right_and_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    long = [Example("abc", " defgh"), Example("abcdefghij", " k"), Example("a", " b")]
    tokenised = tokenise(long, tokenizer, 8, "target")
    assert tokenizer.decode(tokenised.token_ids[0]) == "<s>abc def"
    assert len(tokenised) == 2
    assert (tokenised.num_truncated, tokenised.num_dropped) == (1, 1)
    with pytest.raises(UserError, match=r"cuts the target of every example.* 2 tokens"):
        tokenise(long, tokenizer, 2, "target")


def test_with_the_loss_on_all_tokens_nothing_is_left_out(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    long = [Example("abcdefghij", " k"), Example("a", " b")]
    tokenised = tokenise(long, tokenizer, 8, "all")
    assert tokenizer.decode(tokenised.token_ids[0]) == "<s>abcdefg"
    assert (tokenised.num_truncated, tokenised.num_dropped) == (1, 0)
    batch = collate(tokenised, [0])
    assert batch.num_target_tokens == int((batch.labels[:, 1:] != IGNORED).sum()) == 7


def test_a_tokenizer_without_an_end_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(UserError, match="end-of-sequence"):
        tokenise(EXAMPLES, endless, 64, "target")


@pytest.mark.parametrize("loss_on", ["target", "all"])
def test_a_batch_is_padded_on_the_right_and_counts_its_tokens(
    tokenizer: PreTrainedTokenizerFast, loss_on: str
) -> None:
    tokenised = tokenise(EXAMPLES, tokenizer, 64, loss_on)
    batch = collate(tokenised, [2, 1])
    assert batch.lengths == (10, 14)
    assert batch.input_ids.shape == batch.labels.shape == (2, 16)
    assert batch.input_ids.dtype == batch.labels.dtype == torch.int64
    assert (batch.input_ids[0, 10:] == tokenizer.eos_token_id).all()
    for row, index in enumerate((2, 1)):
        ids, prompt = tokenised.token_ids[index], tokenised.num_prompt_tokens[index]
        first = prompt if loss_on == "target" else 0
        expected = [IGNORED] * first + ids[first:] + [IGNORED] * (16 - len(ids))
        assert batch.labels[row].tolist() == expected
    assert batch.num_tokens == 24
    assert batch.num_target_tokens == int((batch.labels[:, 1:] != IGNORED).sum())


def test_the_first_token_of_a_row_is_no_target() -> None:
    batch = collate(TokenisedExamples([[5, 6, 1]], [0], "target", padding_id=1), [0])
    assert batch.num_target_tokens == int((batch.labels[:, 1:] != IGNORED).sum()) == 2


def test_an_epoch_shows_every_example_once() -> None:
    order = DataOrder(numbered(10), batch_size=4, seed=3)
    assert order.steps_per_epoch == 3
    seen = [index for _ in range(5) for index in drawn(order.next_batch())]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_the_order_is_the_seed_s_alone() -> None:
    def sequence(seed: int, micro_batch_size: int | None) -> list[list[int]]:
        order = DataOrder(
            numbered(9),
            batch_size=4,
            splitting=Splitting(max_sequences=micro_batch_size),
            seed=seed,
        )
        return [drawn(order.next_batch()) for _ in range(6)]

    torch.manual_seed(1)
    first = sequence(0, None)
    torch.manual_seed(2)
    np.random.seed(2)
    assert sequence(0, 3) == first
    assert sequence(1, None) != first


def test_micro_batches_split_a_batch_in_order() -> None:
    order = DataOrder(numbered(20), batch_size=7, splitting=Splitting(max_sequences=3), seed=0)
    micro_batches = order.next_batch()
    assert [len(batch.lengths) for batch in micro_batches] == [3, 3, 1]
    assert all(batch.input_ids.shape[1] == 8 for batch in micro_batches)


def test_a_saved_position_goes_on_exactly() -> None:
    order = DataOrder(numbered(10), batch_size=4, seed=5)
    for _ in range(7):
        order.next_batch()
    state = order.state_dict()
    expected = [drawn(order.next_batch()) for _ in range(7)]
    restored = DataOrder(numbered(10), batch_size=4, seed=5)
    restored.load_state_dict(state)
    assert [drawn(restored.next_batch()) for _ in range(7)] == expected


def test_the_longest_batch_leaves_the_order_alone() -> None:
    order = DataOrder(numbered(20), batch_size=4, splitting=Splitting(max_sequences=2), seed=0)
    untouched = DataOrder(numbered(20), batch_size=4, splitting=Splitting(max_sequences=2), seed=0)
    order.next_batch(), untouched.next_batch()
    longest = order.longest_batch()
    assert [batch.lengths for batch in longest] == [(8, 8), (7, 7)]
    assert drawn(order.next_batch()) == drawn(untouched.next_batch())


def test_a_batch_may_be_larger_than_the_data() -> None:
    order = DataOrder(numbered(3), batch_size=8, seed=0)
    assert sorted(set(drawn(order.next_batch()))) == [0, 1, 2]
    assert len(order.longest_batch()[0].lengths) == 8
    assert order.steps_per_epoch == 1


def test_validation_batches_are_all_examples_in_order() -> None:
    assert drawn(batches(numbered(10), 4, "padded")) == list(range(10))
    assert [len(batch.lengths) for batch in batches(numbered(10), 4, "packed")] == [4, 4, 2]
