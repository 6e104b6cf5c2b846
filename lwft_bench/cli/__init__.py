"""The command line. Importing it registers every command."""

from lwft_bench.cli import (
    claim_commands,
    commands,
    merging,
    packing,
    plugin_commands,
    running,
    timing,
)
from lwft_bench.cli.app import app, main

__all__ = [
    "app",
    "claim_commands",
    "commands",
    "main",
    "merging",
    "packing",
    "plugin_commands",
    "running",
    "timing",
]
