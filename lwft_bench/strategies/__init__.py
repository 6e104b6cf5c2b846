"""The plugin point: what a strategy sees, what it gives back, and how it gets its name."""

from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register
from lwft_bench.strategies.base import (
    Context,
    Needs,
    Selection,
    Strategy,
    Unit,
    Window,
)

__all__ = [
    "Context",
    "Needs",
    "PluginOptions",
    "Selection",
    "Strategy",
    "Unit",
    "Window",
    "register",
]
