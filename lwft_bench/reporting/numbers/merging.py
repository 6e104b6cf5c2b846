"""Several runs as one, so that what can be compared is, and what cannot is told as within a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from lwft_bench.reporting.numbers.comparability import planned, setting
from lwft_bench.reporting.read.records import ReportedCell, RunRecords
from lwft_bench.reporting.read.timings import ReportedTiming, joined_timings
from lwft_bench.reporting.read.tunings import ReportedTuning, validation_loss

FRAMES = ("samples", "steps", "selections", "units")
_Point = tuple[str, str, str, int, str]


@dataclass
class _Merging:
    cells: list[ReportedCell] = field(default_factory=list)
    frames: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    timings: list[ReportedTiming] = field(default_factory=list)

    @property
    def timed_again(self) -> list[tuple[str, str]]:
        """Models and tasks of which the last run has timed cells, and an earlier one too."""
        *earlier, last = ([(one.model, one.task) for one in found.timed] for found in self.timings)
        return [pair for pair in last if any(pair in pairs for pairs in earlier)]


def merged(runs: Sequence[RunRecords]) -> RunRecords:
    """The cells of all runs, in the runs' order. A cell that stands in several runs counts once.

    Cells of one point of a suite that differ in what they ran on or with all stay: they become rows of
    their own where numbers are put together. The id of a cell has the name
    of its run behind it where another cell has the same.

    Args:
        runs: at least one; the first that has a baseline or published numbers gives these.
    """
    if len(runs) == 1:
        return runs[0]
    merging = _Merging(frames={name: [] for name in FRAMES})
    taken: dict[str, str] = {}
    done: dict[tuple[_Point, str], str] = {}
    cells_of = [_with_plans(run.cells) for run in runs]
    finished = {
        (_point(cell), plan)
        for cells in cells_of
        for cell in cells
        if cell.done
        for plan in (planned(cell), "")
    }
    for run, run_name, cells in zip(runs, _names(runs), cells_of, strict=True):
        names: dict[str, str] = {}
        timed: dict[str, str] = {}
        for cell in cells:
            key = (_point(cell), _made_by(cell))
            elsewhere = not cell.done and (key[0], planned(cell)) in finished
            if key in done or elsewhere:
                merging.again.append(f"{cell.id} of {run_name}")
                timed |= {cell.id: done[key]} if key in done else {}
                continue
            own = cell.id if cell.id not in taken else f"{cell.id} of {run_name}"
            done[key] = taken[own] = names[cell.id] = own
            merging.cells.append(replace(cell, id=own))
        for name in FRAMES:
            merging.frames[name].append(_renamed(getattr(run, name), names))
        merging.timings.append(run.timing.renamed(names | timed))
        merging.warnings += [f"{run_name}: {warning}" for warning in run.warnings]
        merging.warnings += [
            f"{run_name}: {model} on {task} was timed by turns there too, which is left out: speeds of "
            "two processes are not paired."
            for model, task in merging.timed_again
        ]
    if merging.again:
        merging.warnings.append(
            "Counted once, for another run has them too or has them done: "
            f"{', '.join(merging.again)}."
        )
    known = {cell.method for cell in merging.cells if cell.done}
    baselines = list(dict.fromkeys(run.baseline for run in runs if run.baseline))
    baselines.sort(key=lambda name: name not in known)
    if len(baselines) > 1:
        merging.warnings.append(
            f"The runs have different baselines ({', '.join(baselines)}): {baselines[0]} counts."
        )
    tunings: dict[str, ReportedTuning] = {}
    for one in (one for run in runs for one in run.tunings):
        tunings.setdefault(_tuned(one), one)
    first = runs[0]
    return replace(
        first,
        title=" + ".join(dict.fromkeys(run.title for run in runs)),
        baseline=baselines[0] if baselines else None,
        cells=tuple(merging.cells),
        **{name: _joined(frames) for name, frames in merging.frames.items()},
        published=next((run.published for run in runs if run.published), None),
        tables={name: spec for run in reversed(runs) for name, spec in run.tables.items()},
        claims=tuple(
            {claim.name: claim for run in reversed(runs) for claim in run.claims}.values()
        ),
        tunings=tuple(tunings.values()),
        other_trials=tuple(dict.fromkeys(trial for run in runs for trial in run.other_trials)),
        warnings=tuple(merging.warnings),
        timing=joined_timings(merging.timings),
    )


def _tuned(tuning: ReportedTuning) -> str:
    """What the same trials of several runs have in common: each costs once."""
    trials = [
        (trial.id, trial.result.identity if trial.result else "", validation_loss(trial))
        for trial in tuning.trials
    ]
    return str((tuning.model, tuning.task, tuning.label, trials))


def _names(runs: Sequence[RunRecords]) -> list[str]:
    """Of their folders, with as many of the folders above as tell them apart."""
    parts = [run.folder.resolve().parts for run in runs]
    longest = max(map(len, parts))
    for depth in range(1, longest + 1):
        names = ["/".join(one[-depth:]) for one in parts]
        if len(set(names)) == len(set(parts)):
            return names
    raise AssertionError("whole paths tell folders apart")


def _point(cell: ReportedCell) -> _Point:
    return cell.model, cell.method, cell.task, cell.seed, str(sorted(cell.ablation.items()))


def _made_by(cell: ReportedCell) -> str:
    """What it ran on and with; of one that is not done what it was to do."""
    return str(setting(cell)) if cell.done else planned(cell)


def _with_plans(cells: Sequence[ReportedCell]) -> list[ReportedCell]:
    """Those that have not begun were to do what the others of their method do in this run."""
    plans = {_point(cell)[:3] + _point(cell)[4:]: cell.config for cell in cells if cell.config}
    found = []
    for cell in cells:
        plan = plans.get(_point(cell)[:3] + _point(cell)[4:])
        if cell.config is None and plan is not None:
            plan = plan.model_copy(update={"id": cell.id, "seed": cell.seed})
            cell = replace(cell, config=plan)
        found.append(cell)
    return found


def _renamed(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The rows of cells that stay, under their names."""
    if "cell" not in frame:
        return frame
    kept = frame[frame["cell"].isin(list(names))]
    return kept.assign(cell=kept["cell"].map(dict(names)))


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
