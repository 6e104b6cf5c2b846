"""The command line. Importing it registers every command."""

from lwft_bench.cli import commands, merging, packing, plugin_commands, timing
from lwft_bench.cli.app import app, main

__all__ = ["app", "commands", "main", "merging", "packing", "plugin_commands", "timing"]
