"""Update rules, one file each: what a plugin needs is here. Light to import."""

from lwft_bench.optimizers.base import Field, Optimizer, moments
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_optimizer

__all__ = ["Field", "Optimizer", "PluginOptions", "moments", "register_optimizer"]
