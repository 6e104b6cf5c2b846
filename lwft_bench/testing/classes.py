"""Classes for pytest that authors of plugins subclass: each check is a test of its own.

Nothing here imports pytest: it calls `pytest_generate_tests` of the classes that it collects.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from lwft_bench.plugins.files import load_plugin
from lwft_bench.testing.check import check_adapter, check_optimizer, check_strategy
from lwft_bench.testing.outcomes import CheckOutcome


class PluginTests:
    """What the three classes below share. Subclass one of them and set `name`."""

    name: ClassVar[str]
    """What the plugin is registered as."""
    file: ClassVar[str | Path | None] = None
    """The plugin file that registers it, relative to the test's folder; None: it is installed or
    registered already."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The options to check it with."""

    _check: ClassVar[Callable[..., list[CheckOutcome]]]
    _module: ClassVar[str]
    _checks: ClassVar[str]
    _outcomes: ClassVar[dict[str, CheckOutcome] | None] = None

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for each check, named after it."""
        metafunc.parametrize("check", list(getattr(import_module(self._module), self._checks)))

    def test_check(self, check: str) -> None:
        """Passes if the check does; its detail is the message."""
        outcome = self._all()[check]
        assert outcome.passed, f"{check}: {outcome.detail}"

    @classmethod
    def _all(cls) -> dict[str, CheckOutcome]:
        """Run once for the class."""
        if cls._outcomes is None:
            if cls.file is not None:
                load_plugin(Path(inspect.getfile(cls)).parent / cls.file)
            cls._outcomes = {one.name: one for one in cls._check(cls.name, cls.options)}
        return cls._outcomes


class StrategyTests(PluginTests):
    """Every check of `check_strategy` as a test."""

    _check = staticmethod(check_strategy)
    _module = "lwft_bench.testing.strategy_checks"
    _checks = "STRATEGY_CHECKS"


class AdapterTests(PluginTests):
    """Every check of `check_adapter` as a test."""

    _check = staticmethod(check_adapter)
    _module = "lwft_bench.testing.adapter_checks"
    _checks = "ADAPTER_CHECKS"


class OptimizerTests(PluginTests):
    """Every check of `check_optimizer` as a test."""

    _check = staticmethod(check_optimizer)
    _module = "lwft_bench.testing.optimizer_checks"
    _checks = "OPTIMIZER_CHECKS"
