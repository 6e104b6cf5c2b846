"""How weights are parameterised, one file each: what a plugin needs is here. Light to import."""

from lwft_bench.adapters.base import Adapter
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.plugins.registry import register_adapter

__all__ = ["Adapter", "PluginOptions", "register_adapter"]
