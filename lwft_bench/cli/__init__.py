"""The command line."""

from lwft_bench.cli.commands import main

__all__ = ["main"]
