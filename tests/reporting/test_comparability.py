"""Records that differ in what they ran on are never merged in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lwft_bench.reporting.numbers.comparison import Comparison, compare
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.rows import Row
from lwft_bench.reporting.numbers.verdicts import best_averages, between, compared_with_baseline
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.tables import main
from lwft_bench.schema.suite import AVERAGE

if TYPE_CHECKING:
    from conftest import RunMaker

OTHER_TORCH = {"versions": {"python": "3.11.9", "torch": "2.12.0"}}


def comparison(maker: RunMaker) -> Comparison:
    (only,) = compare(read_run(maker.finish()))
    return only


def test_seeds_on_another_torch_are_a_row_of_their_own(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    for seed in range(3):
        maker.add(method, seed, provenance=OTHER_TORCH if seed == 2 else None)
    rows = comparison(maker).rows
    assert [row.label for row in rows] == ["fft", "fft [torch 2.12.0]"]
    assert [[cell.seed for cell in row.cells] for row in rows] == [[0, 1], [2]]
    assert rows[0].accuracy[AVERAGE].num_seeds == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"provenance": OTHER_TORCH}, "torch (2.13.0: fft; 2.12.0: lisa)"),
        ({"provenance": {"accelerator": "H100"}}, "hardware"),
        ({"identity_components": {"protocol": "2"}}, "protocol"),
        ({"identity_components": {"protocol": "1", "data": "f" * 64}}, "data"),
    ],
)
def test_methods_that_ran_on_different_things_are_not_subtracted(
    maker: RunMaker, change: dict[str, Any], named: str
) -> None:
    components = {"protocol": "1", "data": "d" * 64, "model": "e" * 64}
    change = {**change}
    if "identity_components" in change:
        change["identity_components"] = components | change["identity_components"]
    maker.add(maker.method("fft", 0.5), 0)
    maker.add(maker.method("lisa", 0.4), 0, **change)
    found = comparison(maker)
    assert found.rows[1].differences == {}
    assert any(f"differ in {named}" in warning for warning in found.warnings)


def test_the_best_is_told_among_rows_that_can_be_compared(maker: RunMaker) -> None:
    """A row on other data is no tie of the best, and the best of its own kind where it has company."""
    other = {"protocol": "1", "data": "f" * 64, "model": "e" * 64}
    for seed in range(3):
        maker.add(maker.method("fft", 0.3), seed)
        maker.add(maker.method("lisa", 0.6), seed)
        maker.add(maker.method("grass", 0.9), seed, identity_components=other)
    assert best_averages(comparison(maker)) == ["lisa"]
    for seed in range(3):
        maker.add(maker.method("lora", 0.2), seed, identity_components=other)
    found = comparison(maker)
    assert best_averages(found) == ["lisa", "grass"]
    context = Context.of(read_run(maker.folder)).about(found)
    notes = " ".join(main.build(context).notes)
    assert "the best average of the rows that can be compared (lisa and grass)" in notes
    assert "for the 2 pairs of rows" in notes
    assert compared_with_baseline(found)[1] == ["grass", "lora"]


def test_how_seeds_differ_elsewhere_judges_nothing_here(maker: RunMaker) -> None:
    """Ten seeds on other data are the most seeds, and say nothing of these three."""
    for seed in range(3):
        maker.add(maker.method("fft", 0.3), seed)
        maker.add(maker.method("lisa", 0.6), seed)
    alone = {pair: one.stderr for pair, one in between(*rows_of(maker)).items()}
    for seed in range(6):
        components = {"protocol": "1", "data": "f" * 64, "model": "e" * 64}
        for name, accuracy in (("lora", 0.1 * seed), ("grass", 0.9 - 0.1 * seed)):
            maker.add(maker.method(name, accuracy), seed, identity_components=components)
    together = {pair: one.stderr for pair, one in between(*rows_of(maker)).items()}
    assert {pair: together[pair] for pair in alone} == alone


def rows_of(maker: RunMaker) -> tuple[Comparison, list[Row]]:
    found = comparison(maker)
    return found, found.scored


def test_equal_settings_are_subtracted_without_a_warning(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    maker.add(maker.method("lisa", 0.4), 0)
    found = comparison(maker)
    assert AVERAGE in found.rows[1].differences
    assert found.warnings == ()


def test_another_precision_is_a_confound_and_said_so(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    maker.add(maker.method("lisa", 0.4), 0, training={"precision": "bf16"})
    found = comparison(maker)
    assert AVERAGE in found.rows[1].differences
    assert any("precision (float32: fft; bf16: lisa)" in warning for warning in found.warnings)


def test_seeds_of_another_config_are_not_averaged(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0)
    maker.add(method, 1)
    maker.add(method, 2, training={"lr": 0.5})
    labels = [row.label for row in comparison(maker).rows]
    assert labels == ["fft", "fft [training.lr=0.5]"]


def test_rows_of_several_configs_have_labels_of_their_own(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    many = {"batch_size": 3, "warmup_steps": 1, "max_length": 9}
    changes = [{}, {"lr": 0.5}, {"lr": 0.25}, {"lr": 0.3, **many}, {"lr": 0.4, **many}]
    for seed, change in enumerate(changes):
        maker.add(method, seed, training=change)
    found = comparison(maker)
    assert [row.label for row in found.rows] == [
        "fft",
        "fft [training.lr=0.5]",
        "fft [training.lr=0.25]",
        "fft [other resolved config]",
        "fft [other resolved config 2]",
    ]
    assert [[cell.seed for cell in row.cells] for row in found.rows] == [[0], [1], [2], [3], [4]]


def test_unrecorded_torch_is_said_so(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0, provenance={"versions": {}})
    assert any("Not recorded: torch" in warning for warning in comparison(maker).warnings)


def test_scores_that_contradict_the_samples_are_pointed_out(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    folder = maker.add(method, 0)
    samples = (folder / "samples.jsonl").read_text()
    (folder / "samples.jsonl").write_text(samples.replace('"correct": false', '"correct": true'))
    assert any("the samples count" in warning for warning in comparison(maker).warnings)


def test_a_failed_cell_stays_with_its_method(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0)
    maker.fail(method, 1, "crashed", "killed")
    (row,) = comparison(maker).rows
    assert row.status == "1 done, 1 crashed"
    assert row.accuracy[AVERAGE].num_seeds == 1


def test_only_seeds_that_both_finished_are_paired(maker: RunMaker) -> None:
    baseline, method = maker.method("fft", 0.5), maker.method("lisa", 0.4)
    maker.add(baseline, 0)
    maker.add(baseline, 1)
    maker.fail(baseline, 2, "crashed", "killed")
    for seed in (1, 2, 3, 0):
        maker.add(method, seed)
    row = comparison(maker).rows[1]
    assert row.accuracy[AVERAGE].num_seeds == 4
    assert row.differences[AVERAGE].estimate.num_seeds == 2


def test_examples_that_were_left_out_are_told(maker: RunMaker) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    result = json.loads((folder / "result.json").read_text())
    result["training"] |= {"dropped_examples": 3, "empty_examples": 2}
    (folder / "result.json").write_text(json.dumps(result))
    assert comparison(maker).warnings == (
        "Training left out 3 examples: training.max_length left nothing of their target.",
        "The data files have 2 rows with an empty target, which were left out.",
    )


def test_rows_without_a_seed_in_common_are_told(maker: RunMaker) -> None:
    for name, seeds in (("fft", (0, 1)), ("lisa", (2, 3))):
        for seed in seeds:
            maker.add(maker.method(name, 0.5), seed)
    found = comparison(maker)
    assert found.rows[1].differences == {}
    assert found.warnings == (
        "No difference to the baseline fft is taken of lisa: they share no seed or no item.",
    )


def test_a_seed_whose_samples_are_gone_is_paired_with_nothing(maker: RunMaker) -> None:
    for seed in range(3):
        folder = maker.add(maker.method("fft", 0.5), seed)
        maker.add(maker.method("lisa", 0.4), seed)
        if seed == 0:
            (folder / "samples.jsonl").write_text("")
    found = comparison(maker)
    assert found.rows[0].accuracy[AVERAGE].num_seeds == 2
    assert found.rows[1].differences[AVERAGE].estimate.num_seeds == 2
    assert any("tiny--fft--arith--seed0 has a score" in warning for warning in found.warnings)
