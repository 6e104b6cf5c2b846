"""For authors of plugins: every check of a strategy, an adapter or an optimizer.

    from lwft_bench.testing import StrategyTests

    class TestMyStrategy(StrategyTests):
        file = "my_strategy.py"
        name = "my-strategy"

is a test of each check under pytest; `check_strategy` and its sisters give the outcomes as values.
Light to import: what needs torch imports it when it runs.
"""

from lwft_bench.testing.check import check_adapter, check_optimizer, check_strategy
from lwft_bench.testing.classes import AdapterTests, OptimizerTests, StrategyTests
from lwft_bench.testing.outcomes import CheckOutcome

__all__ = [
    "AdapterTests",
    "CheckOutcome",
    "OptimizerTests",
    "StrategyTests",
    "check_adapter",
    "check_optimizer",
    "check_strategy",
]
