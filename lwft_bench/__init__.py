"""A benchmark and ablation harness for layer-wise fine-tuning of language models.

The names of `__all__` are the public face: docs/api.md shows each, and they are stable from version
0.1.0 on. Each is imported when it is first asked for, so that `import lwft_bench` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Changes",
    "Optimizer",
    "PluginOptions",
    "RunFrames",
    "RunOptions",
    "Selection",
    "Strategy",
    "Suite",
    "UserError",
    "check_adapter",
    "check_optimizer",
    "check_strategy",
    "load_suite",
    "plan",
    "read_run",
    "register",
    "register_adapter",
    "register_optimizer",
    "run",
]

if TYPE_CHECKING:
    from lwft_bench.adapters.base import Adapter
    from lwft_bench.api import plan, run
    from lwft_bench.execution.options import RunOptions
    from lwft_bench.optimizers.base import Optimizer
    from lwft_bench.plugins.options import PluginOptions
    from lwft_bench.plugins.registry import register, register_adapter, register_optimizer
    from lwft_bench.results.frames import RunFrames, read_run
    from lwft_bench.schema.errors import UserError
    from lwft_bench.strategies.base import Selection, Strategy
    from lwft_bench.suites.loading import Changes, Suite, load_suite
    from lwft_bench.testing import check_adapter, check_optimizer, check_strategy

_MODULES = {
    "Adapter": "lwft_bench.adapters.base",
    "Changes": "lwft_bench.suites.loading",
    "Optimizer": "lwft_bench.optimizers.base",
    "PluginOptions": "lwft_bench.plugins.options",
    "RunFrames": "lwft_bench.results.frames",
    "RunOptions": "lwft_bench.execution.options",
    "Selection": "lwft_bench.strategies.base",
    "Strategy": "lwft_bench.strategies.base",
    "Suite": "lwft_bench.suites.loading",
    "UserError": "lwft_bench.schema.errors",
    "check_adapter": "lwft_bench.testing",
    "check_optimizer": "lwft_bench.testing",
    "check_strategy": "lwft_bench.testing",
    "load_suite": "lwft_bench.suites.loading",
    "plan": "lwft_bench.api",
    "read_run": "lwft_bench.results.frames",
    "register": "lwft_bench.plugins.registry",
    "register_adapter": "lwft_bench.plugins.registry",
    "register_optimizer": "lwft_bench.plugins.registry",
    "run": "lwft_bench.api",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
