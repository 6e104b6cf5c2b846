"""Which items of a benchmark are no independent samples."""

from __future__ import annotations

import re

import pytest

from lwft_bench.data import arithmetic, commonsense
from lwft_bench.data.instructions import _opening


@pytest.mark.parametrize("generator", [arithmetic, commonsense])
def test_generated_items_are_clustered_by_their_template(generator) -> None:
    for benchmark in generator.BENCHMARKS:
        items = generator.benchmark_items(benchmark, 60)
        assert 3 < len({item.cluster for item in items}) < 12
        for item in items:
            words = [re.escape(part) for part in re.split(r"\{\w+\}", item.cluster)]
            pattern = ".+".join(words).replace("\\n", "\n")
            assert re.search(pattern, item.prompt), (item.cluster, item.prompt)


def test_stories_told_again_with_other_numbers_open_alike() -> None:
    told = "28 children were riding on the bus. At the stop 82 got on. How many are on it?"
    again = "5.5 children were riding on the bus. Some got off. How many got off?"
    assert _opening(told) == _opening(again)
    assert _opening(told) != _opening("28 children were walking home. How many are left?")
