"""Every strategy that ships through every check."""

import pytest

from lwft_bench.plugins.registry import BUILT_IN, strategies
from lwft_bench.testing import check_strategy
from lwft_bench.testing.strategy_checks import STRATEGY_CHECKS

ONE_ACTIVE = {"num_active": 1}
"""With these options a strategy can be tried on a model of one layer instead of refusing it."""
CASES = [
    (name, options)
    for name in strategies.names()
    if strategies.origin(name) == BUILT_IN
    for options in ({}, ONE_ACTIVE)
    if options.keys() <= strategies.get(name).Options.model_fields.keys()
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_shipped_strategies_pass_every_check(name, options):
    outcomes = check_strategy(name, options)
    assert [outcome.name for outcome in outcomes] == list(STRATEGY_CHECKS)
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    if options == ONE_ACTIVE:
        assert not any(outcome.detail.startswith("refused") for outcome in outcomes)


@pytest.mark.parametrize("normalise", ["none", "max", "sum", "zscore"])
@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 1e6])
def test_grass_passes_at_the_edges_of_its_options(normalise, temperature):
    options = {"normalise": normalise, "temperature": temperature, "period": 7, "refresh": 14}
    failures = {outcome.name for outcome in check_strategy("grass", options) if not outcome.passed}
    # Cold, it trains the largest for ever.
    assert failures <= ({"varies as it says"} if temperature < 1 else set())
