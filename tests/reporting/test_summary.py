"""What the paragraph on top claims, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.summary import summary

if TYPE_CHECKING:
    from conftest import RunMaker


def summarise(run: Path) -> str:
    records = read_run(run)
    return summary(records, compare(records))


def sentence(text: str, beginning: str) -> str:
    (found,) = [part for part in text.split(". ") if beginning in part]
    return found


def test_only_clear_differences_are_claimed(run: Path) -> None:
    text = summarise(run)
    clear = sentence(text, "Beyond noise below")
    assert "lisa" in clear
    assert "grass" not in clear
    unclear = sentence(text, "Within noise")
    assert "grass (temperature=0.1)" in unclear
    assert "lisa" not in unclear


def test_a_method_that_does_not_learn_is_said_so(run: Path) -> None:
    text = summarise(run)
    assert "lora" in text.partition("That they learn cannot be said")[2]
    assert "lora" not in text.partition("Above the untrained model")[2].partition("That they")[0]


def test_every_claim_has_its_interval(run: Path) -> None:
    for part in ("Beyond noise below", "Within noise", "Above the untrained model"):
        named = summarise(run).partition(part)[2].partition("]): ")[2].partition("].")[0]
        assert all(" [" in claim for claim in named.split("; ")), named


def test_incomplete_runs_say_so(run: Path) -> None:
    assert "15 of 16 cells are done (1 out_of_memory)." in summarise(run)


def test_one_seed_decides_nothing(maker: RunMaker) -> None:
    text = summarise(maker.fill(seeds=(0,)))
    assert "Undecided, for one seed is shared" in text
    assert "Beyond noise" not in text
    assert "Above the untrained model" not in text
    assert "All cells are done (6)." in text


def test_without_scores_nothing_is_claimed(maker: RunMaker) -> None:
    maker.fail(maker.method("fft", 0.5), 0, "hung", "no sign of life")
    assert "Nothing can be compared" in summarise(maker.finish())


def test_the_untrained_model_as_baseline_is_compared_with_once(maker: RunMaker) -> None:
    for seed in range(3):
        maker.add(maker.method("fft", 0.5), seed)
        maker.add(maker.method("lisa", 0.5), seed)
    maker.add(maker.method("base", 0.1, trains=False), 0)
    records = read_run(maker.finish(baseline="base"))
    text = summary(records, compare(records))
    assert "Beyond noise above it" in text
    assert "the untrained model" not in text
    assert "Peak memory is 40.0 MiB for all." in text
