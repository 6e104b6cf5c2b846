"""The modules that make data, by name. Imports none of them before it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lwft_bench.data.examples import Example, Item

GENERATOR_FILES = {
    "generated-arithmetic": (
        "arithmetic.py",
        "arithmetic_templates.py",
        "lexicon.py",
        "examples.py",
    ),
    "generated-commonsense": (
        "commonsense.py",
        "commonsense_templates.py",
        "lexicon.py",
        "examples.py",
    ),
}
"""The modules that generated data depends on: editing one makes cells stale."""


class Generator(Protocol):
    """A module that makes data; the test set's seed is its own."""

    def training_examples(self, count: int, seed: int) -> list[Example]: ...

    def validation_examples(self, count: int, seed: int) -> list[Example]: ...

    def benchmark_items(self, benchmark: str, count: int) -> list[Item]: ...


def load_generator(name: str) -> Generator:
    """The module that generates the data of that name."""
    if name == "generated-arithmetic":
        from lwft_bench.data import arithmetic

        return arithmetic
    from lwft_bench.data import commonsense

    return commonsense


def generator_files(name: str) -> list[Path]:
    """The files that its data depends on."""
    return [Path(__file__).parent / file for file in GENERATOR_FILES[name]]
