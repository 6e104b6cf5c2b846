"""`tune:` of a suite: the same number of trials for every method, or a message that says where."""

from __future__ import annotations

import json

import pytest

from lwft_bench.suites.loading import Changes, Suite, load_suite
from tests.suites.writing import Problems, Write, replaced

TUNE = "{grid: {training.lr: [1e-3, 3e-3]}, seeds: [100]}"


@pytest.fixture
def load(write: Write):
    def from_text(text: str, changes: Changes | None = None) -> Suite:
        return load_suite(str(write("suite.yaml", text)), changes)

    return from_text


def ids(cells) -> list[str]:
    return [cell.id for cell in cells]


def test_every_method_that_trains_has_trials_and_cells_for_each_value(load):
    suite = load(replaced(tune=TUNE))
    assert ids(suite.cells) == ["embedded--base--arith"]
    fft, grass = suite.tunings
    assert ids(fft.trials) == [
        "embedded--fft--arith--seed100--tune-lr=0.001",
        "embedded--fft--arith--seed100--tune-lr=0.003",
    ]
    assert ids(grass.cells) == ["embedded--grass--arith--seed0", "embedded--grass--arith--seed1"]
    for candidate in fft.candidates:
        lr = candidate.values["training.lr"]
        assert {cell.training.lr for cell in (*candidate.trials, *candidate.cells)} == {lr}
        assert [trial.trial for trial in candidate.trials] == [{"training.lr": lr}]
        assert [cell.trial for cell in candidate.cells] == [{}, {}]


def test_a_method_has_a_grid_of_its_own_and_trials_have_steps_of_theirs(load):
    tune = (
        "{grid: {training.lr: [1e-3, 3e-3]}, seeds: [7, 8], steps: 3, "
        "methods: {grass: {strategy.temperature: [0.5, 2]}}}"
    )
    fft, grass = load(replaced(tune=tune)).tunings
    assert len(fft.trials) == len(grass.trials) == 4
    assert {trial.training.steps for trial in grass.trials} == {3}
    assert {cell.training.steps for cell in grass.cells} == {8}
    assert [one.trials[0].method.strategy.options["temperature"] for one in grass.candidates] == [
        0.5,
        2.0,
    ]


def test_what_was_chosen_is_in_the_cells_identity_and_not_the_grid(load):
    suite = load(replaced(tune=TUNE))
    first, second = suite.tunings[0].candidates
    by_hand = load(replaced(training="{steps: 8, lr: 3e-3}", methods="[fft]"))
    assert suite.identity(first.cells[0]).digest != suite.identity(second.cells[0]).digest
    assert suite.identity(second.cells[0]).digest == by_hand.identity(by_hand.cells[0]).digest


def test_a_wider_grid_leaves_the_trials_that_are_there(load):
    def digests(text: str) -> dict[str, str]:
        suite = load(text)
        return {
            trial.id: suite.identity(trial).digest for one in suite.tunings for trial in one.trials
        }

    before = digests(replaced(tune=TUNE))
    after = digests(replaced(tune=TUNE.replace("3e-3]", "3e-3, 1e-2]")))
    other_benchmarking = digests(replaced(tune=TUNE, evaluation="{batch_size: 3}"))
    assert len(after) == len(before) + 2
    assert before.items() <= after.items()
    assert other_benchmarking == before
    assert digests(replaced(tune=TUNE.replace("100]", "100], steps: 4"))) != before


def test_narrowed_cells_keep_their_trials(load):
    (tuning,) = load(replaced(tune=TUNE), Changes(only="*fft*seed1")).tunings
    assert ids(tuning.cells) == ["embedded--fft--arith--seed1"]
    assert len(tuning.trials) == 2
    narrowed = load(replaced(tune=TUNE), Changes(methods=("grass",), seeds=(5,)))
    assert (ids(narrowed.cells), len(narrowed.tunings)) == ([], 1)
    assert ids(narrowed.tunings[0].cells) == ["embedded--grass--arith--seed5"]


def test_each_value_of_an_ablated_option_is_tuned(load):
    suite = load(replaced(tune=TUNE, ablate="{strategy.temperature: [0.1, 1]}"))
    assert len(suite.tunings) == 3
    assert suite.tunings[1].trials[0].id.endswith("seed100--temperature=0.1--tune-lr=0.001")


def test_the_values_of_several_keys_are_combined(load):
    grid = "{grid: {training.lr: [1e-3, 3e-3], training.clip.max_norm: [1, 2]}, seeds: [9]}"
    tuning = load(replaced(tune=grid, methods="[fft]")).tunings[0]
    assert [one.values for one in tuning.candidates][1:3] == [
        {"training.lr": 1e-3, "training.clip.max_norm": 2},
        {"training.lr": 3e-3, "training.clip.max_norm": 1},
    ]
    assert tuning.trials[1].id.endswith("--tune-lr=0.001--max_norm=2")


@pytest.mark.parametrize(
    ("tune", "lines", "expected"),
    [
        (
            "{grid: {training.lr: [1, 2]}, seeds: [9], methods: {grass: {training.lr: [1]}}}",
            {},
            "tune.methods.grass: 1 combinations for method 'grass', and tune.grid has 2; "
            "every method gets as many",
        ),
        (
            "{grid: {training.lr: [1, 2]}, seeds: [9, 1]}",
            {},
            "tune.seeds[1]: 1 is a seed of the suite too; tuning needs seeds of its own",
        ),
        ("{grid: {training.lr: [1, 2]}, seeds: [9, 9]}", {}, "tune.seeds: 9 is there twice"),
        ("{grid: {training.lr: [1, 1]}, seeds: [9]}", {}, "tune.grid.training.lr[1]: 1 is there"),
        (
            "{grid: {training.lr: [1, -1]}, seeds: [9]}",
            {},
            "tune.grid.training.lr[1]: expected a number greater than 0, found -1",
        ),
        (
            "{grid: {training.learnrate: [1, 2]}, seeds: [9]}",
            {},
            "tune.grid.training.learnrate: method 'fft' has no such option; ",
        ),
        (
            "{grid: {strategy.temperature: [1, 2]}, seeds: [9]}",
            {},
            "tune.grid.strategy.temperature: method 'fft' has no such option",
        ),
        (
            "{grid: {training.lr: [1]}, seeds: [9], methods: {grss: {training.lr: [1]}}}",
            {},
            "tune.methods.grss: unknown method of the suite 'grss'; did you mean 'grass'?",
        ),
        (
            "{grid: {training.lr: [1]}, seeds: [9], methods: {base: {training.lr: [1]}}}",
            {},
            "tune.methods.base: this method does not train: there is nothing to tune",
        ),
        (
            "{grid: {training.steps: [1, 2]}, seeds: [9]}",
            {},
            "tune.grid.training.steps: cannot be tuned: it is to be the same for all methods",
        ),
        ("{grid: {}, seeds: [9]}", {}, "tune.grid: expected at least 1 entries, found a mapping"),
        ("{grid: {training.lr: [1]}}", {}, "tune.seeds: missing"),
        (
            "{grid: {training.lr: [1]}, seeds: [9], metric: accuracy}",
            {},
            "tune.metric: expected 'validation_loss', found 'accuracy'",
        ),
        (
            TUNE,
            {"overrides": "[{method: grass, set: {training.lr: 1}}]"},
            "overrides[0].set.training.lr: tune.grid.training.lr decides this value: leave it out",
        ),
        (
            TUNE,
            {"ablate": "{training.lr: [1, 2]}"},
            "ablate.training.lr: tune.grid.training.lr decides this value: leave it out",
        ),
        (
            TUNE,
            {"overrides": "[{set: {task.validation_examples: 0}}]"},
            "overrides[0].set.task.validation_examples: tuning judges by the validation loss; "
            "expected at least 1, found 0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    problems: Problems, tune: str, lines: dict[str, str], expected: str
):
    found = problems(replaced(tune=tune, **lines))
    line = 7 if expected.startswith("tune") else 8
    assert any(each.startswith(f"suite.yaml:{line}: {expected}") for each in found), found


def test_the_command_line_cannot_set_what_is_tuned_or_reuse_its_seeds(problems: Problems):
    changes = Changes(settings=("training.lr=1",), seeds=(100,))
    assert problems(replaced(tune=TUNE), changes) == [
        "--set: training.lr: tune.grid.training.lr decides this value: leave it out",
        "suite.yaml:7: tune.seeds[0]: 100 is a seed of the suite too; "
        "tuning needs seeds of its own",
    ]


def test_infinite_values_are_tried_too(load):
    trial = load(replaced(tune="{grid: {training.lr: [1, .inf]}, seeds: [9]}")).tunings[0].trials[1]
    assert trial.id.endswith("--tune-lr=inf")
    assert json.loads(trial.model_dump_json())["trial"]
