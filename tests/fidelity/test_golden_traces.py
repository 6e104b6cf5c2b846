"""A change that is not about numbers leaves every method's selections and losses as they were.

A new card needs a trace: `python -m tests.fidelity.regenerate NAME`.
"""

from __future__ import annotations

import pytest
import torch

from tests.fidelity.traces import GOLDEN, golden_file, read, trace
from tests.training.small_cards import small_cards

CARDS = small_cards()
KERNELS_DIFFER = {"qlora": "AVX512"}
"""Cards whose libraries compute otherwise on other CPUs, and the one that their trace is of:
bitsandbytes' weights of four bits are others without AVX-512 (losses up to 0.0044 apart)."""


@pytest.mark.parametrize("name", CARDS)
def test_a_method_does_what_it_did(name: str) -> None:
    assert golden_file(name).exists(), f"run: python -m tests.fidelity.regenerate {name}"
    golden, now = read(name), trace(CARDS[name])
    assert now["selections"] == golden["selections"]
    here = torch.backends.cpu.get_cpu_capability()
    apart = 1e-4 if KERNELS_DIFFER.get(name, here) == here else 1e-2
    assert now["losses"] == pytest.approx(golden["losses"], rel=0, abs=apart)


def test_no_trace_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} <= CARDS.keys()


def test_methods_can_be_told_apart_by_their_traces() -> None:
    """What these traces are worth: full fine-tuning and a sampled method differ far beyond 1e-4."""
    full, sampled = read("fft"), read("lisa")
    assert full["selections"] != sampled["selections"]
    assert abs(full["losses"][-1] - sampled["losses"][-1]) > 1e-3
