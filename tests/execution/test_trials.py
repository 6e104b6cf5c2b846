"""Trials run before the cells whose settings they decide, and are as hard to lose as any cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import fake_cells
import pytest
from fake_cells import FakeSuite, run

from lwft_bench.execution.choice import choices
from lwft_bench.results.store import RunStore
from lwft_bench.schema.cell import Cell
from lwft_bench.suites.tuning import Candidate, Tuning

FINAL = "tiny--ok--task--seed0"


@dataclass
class TunedSuite(FakeSuite):
    """A fake suite whose cells' identities have their learning rates in them."""

    def identity(self, cell: Cell) -> SimpleNamespace:
        digest = f"{cell.training.lr} {cell.training.steps} {self.strategy_digest}"
        return SimpleNamespace(components={"config": digest}, digest=digest)


def tuned(fates: Sequence[tuple[float, str]], seeds: Sequence[int] = (100,)) -> TunedSuite:
    """One method, tried with each learning rate; a trial has its fate for a method's name."""
    base = FakeSuite(("ok",))._cell("ok")

    def cell(lr: float, **changes: object) -> Cell:
        training = base.training.model_copy(update={"lr": lr})
        return base.model_copy(update={"training": training, **changes})

    def trial(lr: float, fate: str, seed: int) -> Cell:
        method = base.method.model_copy(update={"name": fate})
        name = f"tiny--ok--task--seed{seed}--tune-lr={lr}"
        return cell(lr, id=name, seed=seed, method=method, trial={"training.lr": lr})

    candidates = tuple(
        Candidate({"training.lr": lr}, tuple(trial(lr, fate, seed) for seed in seeds), (cell(lr),))
        for lr, fate in fates
    )
    return TunedSuite((), tunings=(Tuning(candidates),))


def chosen(out: Path) -> float | None:
    (tuning,) = RunStore(out).read_suite().tunings
    return tuning.chosen["training.lr"] if tuning.chosen else None


def starts(out: Path, cell_id: str) -> int:
    return len((RunStore(out).cell_folder(cell_id) / "starts").read_text().splitlines())


def test_the_lowest_validation_loss_decides_what_the_cells_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tuned([(1.0, "ok"), (2.0, "ok"), (3.0, "ok")])  # the loss is the distance to 2.2
    assert run(suite, tmp_path) == 0
    assert chosen(tmp_path) == 2.0
    store = RunStore(tmp_path)
    assert store.config(FINAL).training.lr == 2.0
    (planned,) = store.read_suite().cells
    assert (
        planned.identity
        == store.read_result(FINAL).identity
        == suite.identity(suite.tunings[0].candidates[1].cells[0]).digest
    )
    assert [result.method for result in store.results()] == ["ok"]
    printed = capsys.readouterr().out
    assert (
        "tiny--ok--task--step_seconds=0.0: training.lr=2.0 (validation loss 0.2000, the lowest of 3)"
        in printed
    )
    assert printed.index("tune-lr=3.0: done") < printed.index(f"{FINAL}: started")


def test_the_mean_over_the_tuning_seeds_decides(tmp_path: Path) -> None:
    suite = tuned([(1.0, "ok"), (2.0, "ok")], seeds=(100, 101))
    assert run(suite, tmp_path, workers=2) == 0
    assert len(RunStore(tmp_path).trial_results()) == 4


def test_trials_that_diverge_lose_and_are_no_failure_of_the_run(tmp_path: Path) -> None:
    assert run(tuned([(1.0, "ok"), (2.0, "diverged")]), tmp_path) == 0
    assert chosen(tmp_path) == 1.0
    assert RunStore(tmp_path).trial_results()[1].status == "diverged"


def test_another_failure_loses_too_and_may_decide_otherwise_when_it_is_run_again(
    tmp_path: Path,
) -> None:
    suite = tuned([(1.0, "ok"), (2.0, "exit-once")])
    assert run(suite, tmp_path) == 1
    assert chosen(tmp_path) == 1.0
    assert run(suite, tmp_path, retry_failed=True) == 0
    assert chosen(tmp_path) == 2.0
    assert RunStore(tmp_path).config(FINAL).training.lr == 2.0
    assert [path.name for path in (tmp_path / "stale").iterdir()] == [f"{FINAL}--1.0 8 s1"]


def test_where_every_trial_fails_the_cells_do_not_run_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tuned([(1.0, "diverged"), (2.0, "diverged")])
    assert run(suite, tmp_path, report=None) == 1
    assert chosen(tmp_path) is None
    assert "no trial has a validation loss, so that its cells cannot run" in capsys.readouterr().out
    assert not RunStore(tmp_path).cell_folder(FINAL).exists()
    report = (tmp_path / "report.md").read_text()
    assert "| no trial of its tuning has a validation loss |" in report
    assert "nan at step 4" in report[report.index("### Trials") :]


def test_an_interrupted_tuning_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tuned([(1.0, "ok"), (2.0, "terminated-once")])
    assert run(suite, tmp_path, workers=1) == 130
    printed = capsys.readouterr().out
    assert "tiny--ok--task--step_seconds=0.0: trials are left, for which its cells wait" in printed
    assert "2 of 3 cells are left" in printed
    (planned,) = RunStore(tmp_path).read_suite().cells
    assert (planned.identity, chosen(tmp_path)) == (None, None)
    assert run(suite, tmp_path, workers=1) == 0
    assert chosen(tmp_path) == 2.0
    assert starts(tmp_path, "tiny--ok--task--seed100--tune-lr=1.0") == 1
    assert starts(tmp_path, "tiny--ok--task--seed100--tune-lr=2.0") == 2


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    suite = tuned([(1.0, "ok"), (2.0, "ok")])
    assert run(suite, tmp_path) == 0
    no_report = {"run_cell": "none:none", "report": lambda out: pytest.fail("reported")}
    assert run(suite, tmp_path, **no_report) == 0


def test_a_wider_grid_runs_what_is_new_in_it_alone(tmp_path: Path) -> None:
    grid = [(1.0, "ok"), (3.0, "ok")]
    assert run(tuned(grid), tmp_path) == 0
    assert chosen(tmp_path) == 3.0
    assert run(tuned([*grid, (2.0, "ok")]), tmp_path) == 0
    assert chosen(tmp_path) == 2.0
    assert starts(tmp_path, "tiny--ok--task--seed100--tune-lr=1.0") == 1
    assert RunStore(tmp_path).config(FINAL).training.lr == 2.0


@pytest.mark.parametrize(
    ("losses", "wins"),
    [
        ({1.0: 0.5, 2.0: 0.5, 0.5: 0.5}, 0.5),
        ({1.0: float("nan"), 2.0: 9.0}, 2.0),
        ({1.0: float("nan"), 2.0: float("inf")}, None),
        ({"b": 0.5, "a": 0.5}, "b"),
    ],
)
def test_of_equal_ones_the_smaller_and_of_what_are_no_numbers_the_first(
    losses: dict[object, float], wins: object
) -> None:
    base = FakeSuite(("ok",))._cell("ok")
    candidates = tuple(
        Candidate({"key": value}, (base.model_copy(update={"trial": {"key": value}}),), (base,))
        for value in losses
    )

    def result_of(trial: Cell) -> SimpleNamespace:
        loss = losses[trial.trial["key"]]
        return SimpleNamespace(status="done", training=SimpleNamespace(validation_loss_after=loss))

    (choice,) = choices(TunedSuite((), tunings=(Tuning(candidates),)), result_of)  # type: ignore[arg-type]
    assert choice.ended
    assert (choice.chosen.values["key"] if choice.chosen else None) == wins


def test_the_validation_loss_of_a_fake_trial() -> None:
    """What the other tests rely on."""
    assert [round(fake_cells.validation_loss(lr), 9) for lr in (1.0, 2.0, 3.0)] == [1.2, 0.2, 0.8]
