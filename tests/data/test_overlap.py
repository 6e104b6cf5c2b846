from __future__ import annotations

from lwft_bench.data.overlap import COMMON, find_overlap, find_overlaps

LONG = "a farmer had twelve brown hens and sold some of them on the market one cold day in may"


def test_exact_is_the_same_words() -> None:
    found = find_overlap(["Tom has 3 pens!", "other"], ["tom  HAS 3 pens", "tom has 4 pens"])
    assert found.test == {0: "exact"}
    assert found.training == {0: "exact"}


def test_the_same_letters_in_other_words_are_near() -> None:
    found = find_overlap(["Tom did n't go ."], ["Tom didn't go.", "Tom did go."])
    assert (found.test, found.training) == ({0: "near"}, {0: "near"})


def test_a_run_of_words_in_common_is_near() -> None:
    words = LONG.split()
    start = " ".join(words[:13])
    found = find_overlap([f"{start} and then went home"], [LONG])
    assert found.run_length == 13
    assert (found.count("exact"), found.count("near")) == (0, 1)
    assert not find_overlap([" ".join(words[:12])], [LONG]).test


def test_runs_are_as_long_as_short_questions() -> None:
    eight = " ".join(LONG.split()[:8])
    found = find_overlap([LONG], [eight, "something of nine words that is not in training"])
    assert (found.run_length, found.test) == (8, {0: "near"})
    assert not find_overlap([LONG], [" ".join(LONG.split()[:7])]).test


def test_common_phrases_do_not_count() -> None:
    def training(count: int) -> list[str]:
        return [f"{LONG} and number {n} was left" for n in range(count)]

    assert find_overlap(training(COMMON), [LONG]).test == {0: "near"}
    assert find_overlap(training(COMMON + 1), [LONG]).test == {}


def test_several_test_sets_are_compared_as_each_alone() -> None:
    training = ["Tom has 3 pens!", "other", f"{LONG} or june", "Tom did n't go ."]
    eight = " ".join(LONG.split()[:8])
    tests = [["tom has 3 pens", LONG], [eight, "Tom didn't go."], []]
    assert find_overlaps(training, tests) == [find_overlap(training, test) for test in tests]
    assert [one.run_length for one in find_overlaps(training, tests)] == [8, 8, 13]
