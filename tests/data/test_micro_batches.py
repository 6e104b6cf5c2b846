import pytest
import torch

from lwft_bench.data.batching import IGNORED, DataOrder, TokenisedExamples, collate, collate_packed
from lwft_bench.data.extents import computed_extent, needed_extent
from lwft_bench.data.micro_batches import Packing, Splitting
from lwft_bench.schema.extents import Extent

LENGTHS = [5, 20, 9, 17, 6]
NAMES = list("abcde")
EXAMPLES = TokenisedExamples(
    token_ids=[[100 * row + place for place in range(n)] for row, n in enumerate(LENGTHS)],
    num_prompt_tokens=[2, 3, 0, 4, 1],
    loss_on="target",
    padding_id=7,
)


@pytest.mark.parametrize(
    ("splitting", "expected"),
    [
        (Splitting(), [NAMES]),
        (Splitting(max_sequences=2), [["a", "b"], ["c", "d"], ["e"]]),
        (Splitting("by_length", 2), [["b", "d"], ["c", "e"], ["a"]]),
        # Padded to multiples of 8, a and b are 48 tokens together, and c and d too.
        (Splitting("padded", None, 48), [["a", "b"], ["c", "d"], ["e"]]),
        (Splitting("padded", None, 47), [["a"], ["b"], ["c"], ["d"], ["e"]]),
        (Splitting("by_length", None, 48), [["b", "d"], ["c", "e", "a"]]),
        (Splitting("packed", None, 34), [["a", "b", "c"], ["d", "e"]]),
        (Splitting("packed", None, 1), [["a"], ["b"], ["c"], ["d"], ["e"]]),
        (Splitting("packed", 3), [["a", "b", "c"], ["d", "e"]]),
    ],
)
def test_splits(splitting: Splitting, expected: list[list[str]]) -> None:
    indices = [ord(name) for name in NAMES]
    found = [[chr(index) for index in part] for part in splitting.split(indices, LENGTHS)]
    assert found == expected


def test_a_packed_row_has_the_same_tokens_and_the_same_targets_without_padding() -> None:
    padded, packed = collate(EXAMPLES, range(5)), collate_packed(EXAMPLES, range(5))
    assert packed.input_ids.tolist() == [[token for ids in EXAMPLES.token_ids for token in ids]]
    assert (packed.num_tokens, packed.num_target_tokens) == (
        padded.num_tokens,
        padded.num_target_tokens,
    )
    assert int((packed.labels[:, 1:] != IGNORED).sum()) == packed.num_target_tokens
    targets = [batch.labels[:, 1:][batch.labels[:, 1:] != IGNORED] for batch in (padded, packed)]
    assert torch.equal(*targets)


def test_no_sequence_predicts_the_first_token_of_the_next() -> None:
    """Where the loss is on all tokens, c's first one would be b's next."""
    every = TokenisedExamples(EXAMPLES.token_ids, [0] * 5, "all", 7)
    packed = collate_packed(every, [1, 2])
    assert packed.labels[0, 20] == IGNORED
    assert packed.num_target_tokens == 19 + 8


def test_positions_of_packed_sequences_begin_anew() -> None:
    packing = Packing.of(LENGTHS)
    assert packing.position_ids[0].tolist() == [p for n in LENGTHS for p in range(n)]
    assert packing.lengths == tuple(LENGTHS)


def test_nothing_of_a_packed_row_is_padding() -> None:
    packed = [collate_packed(EXAMPLES, range(5))]
    computed = computed_extent(packed)
    assert computed == needed_extent(packed)
    squares = sum(length**2 for length in LENGTHS)
    assert computed == Extent(1, sum(LENGTHS), squares, computed.targets)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize(
    "splitting", [Splitting("by_length", 2), Splitting("packed", 2), Splitting("packed")]
)
def test_a_step_has_the_same_sequences_however_they_are_split(
    splitting: Splitting, ranks: int
) -> None:
    orders = [
        DataOrder(EXAMPLES, batch_size=5, splitting=each, seed=1, num_ranks=ranks)
        for each in (Splitting(), splitting)
    ]
    for _ in range(3):
        plain, split = (order.next_batch() for order in orders)
        assert sorted(n for batch in plain for n in batch.lengths) == sorted(
            n for batch in split for n in batch.lengths
        )
        shares = [sum(batch.num_tokens for batch in split[rank::ranks]) for rank in range(ranks)]
        assert shares == [
            sum(batch.num_tokens for batch in plain[rank::ranks]) for rank in range(ranks)
        ]
