"""What must not be concluded stands before any number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lwft_bench.reporting.numbers.cautions import cautions
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run

if TYPE_CHECKING:
    from conftest import RunMaker


def told(run: Path) -> list[str]:
    records = read_run(run)
    return cautions(compare(records), records.tunings)


def test_an_untuned_small_run_says_so(maker: RunMaker) -> None:
    for name in ("fft", "lisa"):
        maker.add(maker.method(name, 0.5), 0)
    first, second, third, fourth = told(maker.finish())
    assert first.startswith("Not a ranking of methods: no learning rate")
    assert second.startswith("The model has 1.6 M parameters")
    assert third.startswith("Of methods with one seed")
    assert fourth.startswith("Memory is counted")


def test_what_was_tuned_of_some_methods_only_is_said(maker: RunMaker) -> None:
    fft, lisa = maker.method("fft", 0.5), maker.method("lisa", 0.5)
    for method in (fft, lisa):
        maker.add(method, 0)
        maker.add(method, 1)
    maker.tune(fft, {1e-3: 0.5, 1e-2: 0.7}, 1e-3)
    assert told(maker.finish())[0] == "Not a ranking of methods: nothing was tuned of lisa."
    maker.tune(lisa, {1e-3: 0.5, 1e-2: 0.7}, 1e-3)
    assert not [one for one in told(maker.finish()) if "ranking" in one]


def test_one_method_is_no_comparison(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    assert told(maker.finish()) == []
