"""Borders between the parts that no type checker sees."""

from __future__ import annotations

import re
from pathlib import Path

import lwft_bench
from lwft_bench import registry
from lwft_bench.config.cards import shipped

PACKAGE = Path(lwft_bench.__file__).parent
NEUTRAL = ("training", "planning", "state")
COMMON_WORDS = {"all", "base", "full"}


def test_the_trainer_knows_no_method_by_name() -> None:
    names = {*shipped("methods"), *registry.strategies.names(), *registry.adapters.names()}
    pattern = re.compile(rf"\b({'|'.join(sorted(names - COMMON_WORDS))})\b", re.IGNORECASE)
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for folder in NEUTRAL
        for path in (PACKAGE / folder).glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) or "lora_" in line
    ]
    assert not found


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in vague]
