"""Checking a plugin: one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import Registry, adapters, optimizers, strategies
from lwft_bench.testing.outcomes import (
    MAX_CHECK_SECONDS,
    MAX_TORCH_CHECK_SECONDS,
    CheckOutcome,
    outcomes,
)

if TYPE_CHECKING:
    from lwft_bench.adapters.base import Adapter
    from lwft_bench.optimizers.base import Optimizer
    from lwft_bench.strategies.base import Strategy

Options = Mapping[str, Any] | PluginOptions | None
"""Those to check a plugin with; None: its defaults."""

Plugin = TypeVar("Plugin")


def check_strategy(strategy: type[Strategy] | str, options: Options = None) -> list[CheckOutcome]:
    """Runs every check on a strategy, on a simulated trainer: no model, no torch, under a second.

    Args:
        strategy: The class, or the name it is registered by.
        options: The options to check it with; None: its defaults.

    Raises:
        UserError: If there is no strategy of that name.
        pydantic.ValidationError: If the options are not the strategy's.
    """
    from lwft_bench.strategies.simulation import Simulation
    from lwft_bench.testing.strategy_checks import STRATEGY_CHECKS

    cls, checked = _resolved(strategies, strategy, options)
    return outcomes(STRATEGY_CHECKS, Simulation(cls, checked), cls, MAX_CHECK_SECONDS)


def check_adapter(adapter: type[Adapter] | str, options: Options = None) -> list[CheckOutcome]:
    """Runs every check on an adapter, on a Llama of two small layers: a few seconds on a CPU.

    Args:
        adapter: The class, or the name it is registered by.
        options: The options to check it with; None: its defaults.

    Raises:
        UserError: If there is no adapter of that name.
        pydantic.ValidationError: If the options are not the adapter's.
    """
    from lwft_bench.testing.adapter_checks import ADAPTER_CHECKS, AdapterCase

    cls, checked = _resolved(adapters, adapter, options)
    return outcomes(ADAPTER_CHECKS, AdapterCase(cls, checked), cls, MAX_TORCH_CHECK_SECONDS)


def check_optimizer(
    optimizer: type[Optimizer] | str, options: Options = None
) -> list[CheckOutcome]:
    """Runs every check on an optimizer, in the store that the trainer keeps its state in.

    Args:
        optimizer: The class, or the name it is registered by.
        options: The options to check it with; None: its defaults.

    Raises:
        UserError: If there is no optimizer of that name, or a package that it needs is missing.
        pydantic.ValidationError: If the options are not the optimizer's.
    """
    from lwft_bench.testing.optimizer_checks import OPTIMIZER_CHECKS, OptimizerCase

    cls, checked = _resolved(optimizers, optimizer, options)
    cls(checked)
    return outcomes(OPTIMIZER_CHECKS, OptimizerCase(cls, checked), cls, MAX_TORCH_CHECK_SECONDS)


def _resolved(
    registry: Registry, plugin: type[Plugin] | str, options: Options
) -> tuple[type[Plugin], PluginOptions]:
    cls: Any = registry.get(plugin) if isinstance(plugin, str) else plugin
    checked: Any = options
    if not isinstance(options, PluginOptions):
        checked = cls.Options.model_validate(options or {})
    return cls, checked
