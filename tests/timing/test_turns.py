import pytest

from lwft_bench.timing.turns import Chosen, spread_over, there_and_back

LAYERS = 8
EVERY = [(Chosen((layer,)), 4) for layer in (5, 0, 7, 2, 1, 6, 3, 4)]


def test_every_second_round_goes_the_other_way() -> None:
    assert [there_and_back("ABC", pair) for pair in range(3)] == [
        ["A", "B", "C"],
        ["C", "B", "A"],
        ["A", "B", "C"],
    ]


def test_one_selection_is_every_step_s() -> None:
    one = Chosen((0, 1, 2))
    assert spread_over([(one, 100)], pairs=3, steps=2) == [one] * 6


@pytest.mark.parametrize(("pairs", "steps"), [(8, 1), (8, 2), (4, 4)])
def test_all_depths_come_and_their_mean_is_that_of_the_run(pairs: int, steps: int) -> None:
    lowest = [chosen.units[0] for chosen in spread_over(EVERY, pairs, steps)]
    assert set(lowest) == set(range(LAYERS))
    assert sum(lowest) / len(lowest) == pytest.approx((LAYERS - 1) / 2, abs=0.26)


def test_turns_are_alike_though_depths_are_not() -> None:
    """What makes the interval narrow: a low step and a high one in every turn."""
    lowest = [chosen.units[0] for chosen in spread_over(EVERY, pairs=8, steps=2)]
    turns = [lowest[start] + lowest[start + 1] for start in range(0, len(lowest), 2)]
    assert max(turns) - min(turns) <= 1
    assert len(set(lowest[::2])) > 1


def test_a_selection_counts_as_often_as_it_trained() -> None:
    seldom, often = Chosen((0,)), Chosen((5,))
    chosen = spread_over([(seldom, 1), (often, 3)], pairs=4, steps=2)
    assert chosen.count(seldom) == 2


def test_an_empty_selection_stands_below_all() -> None:
    empty = Chosen(())
    chosen = spread_over([(Chosen((0,)), 1), (empty, 1)], pairs=2, steps=2)
    assert [each == empty for each in chosen] == [True, False, True, False]
