"""A change that is not about numbers leaves every method's selections and losses as they were.

A new card needs a trace: `python -m tests.fidelity.regenerate NAME`.
"""

from __future__ import annotations

import pytest

from tests.fidelity.traces import GOLDEN, golden_file, read, trace
from tests.training.small_cards import small_cards

CARDS = small_cards()


@pytest.mark.parametrize("name", CARDS)
def test_a_method_does_what_it_did(name: str) -> None:
    assert golden_file(name).exists(), f"run: python -m tests.fidelity.regenerate {name}"
    golden, now = read(name), trace(CARDS[name])
    assert now["selections"] == golden["selections"]
    assert now["losses"] == pytest.approx(golden["losses"], rel=0, abs=1e-4)


def test_no_trace_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} <= CARDS.keys()


def test_methods_can_be_told_apart_by_their_traces() -> None:
    """What these traces are worth: full fine-tuning and a sampled method differ far beyond 1e-4."""
    full, sampled = read("fft"), read("lisa")
    assert full["selections"] != sampled["selections"]
    assert abs(full["losses"][-1] - sampled["losses"][-1]) > 1e-3
