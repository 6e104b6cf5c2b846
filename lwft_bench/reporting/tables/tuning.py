"""What was chosen for each method, how much it mattered and what it cost to find out."""

from __future__ import annotations

from collections.abc import Iterator

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.verdicts import between_losses, not_separable
from lwft_bench.reporting.read.records import RunRecords
from lwft_bench.reporting.read.tunings import ReportedTuning
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Column, Table, tabulate
from lwft_bench.reporting.tables.leading import about
from lwft_bench.schema.result import CellResult, Training

_NOTE = (
    "Chosen: the lowest validation loss after training, mean over the tuning seeds, which are none "
    "of the compared ones; of equal ones the smaller value. No benchmark was looked at. A candidate "
    "with a trial that is not done has lost. ±: one standard error over the tuning seeds. Not "
    "separable: candidates whose loss differs from the chosen one's by no more than seeds do (paired "
    "by seed, Holm's correction for all pairs of candidates), so that each could have been chosen. "
    "Sensitivity: the worst candidate's loss minus the best's, over those that have one. Cost: of "
    "all trials, probing included; it is in no other table."
)


def build(context: Context) -> Table | None:
    """None where nothing was tuned."""
    tunings = context.tunings
    if not tunings:
        return None
    return tabulate(
        context.name("tuning"),
        context.title("tuning"),
        tunings,
        [*about(context), *_COLUMNS],
        notes=_notes(context.records, tunings),
    )


def _notes(records: RunRecords, tunings: list[ReportedTuning]) -> Iterator[str]:
    yield _NOTE
    uncounted = sum(map(_num_not_done, tunings))
    if uncounted:
        yield f"The cost of the {uncounted} trials that are not done was not recorded."
    if records.other_trials:
        yield (
            f"{len(records.other_trials)} other trials lie in the run directory, of grids or "
            "methods that the suite as last run does not have; they decide and cost nothing here."
        )


def _done(tuning: ReportedTuning) -> list[CellResult]:
    return [trial.result for trial in tuning.trials if trial.done and trial.result]


def _num_not_done(tuning: ReportedTuning) -> int:
    return len(tuning.trials) - len(_done(tuning))


def _trained(tuning: ReportedTuning) -> list[Training]:
    return [result.training for result in _done(tuning) if result.training]


def _chosen(tuning: ReportedTuning) -> str:
    if tuning.chosen:
        return tuning.chosen.shown
    return "no trial has a validation loss" if tuning.ended else "trials are left"


def _sensitivity(tuning: ReportedTuning) -> float | None:
    return max(tuning.losses) - min(tuning.losses) if tuning.losses else None


def _shown_sensitivity(tuning: ReportedTuning) -> str:
    sensitivity = _sensitivity(tuning)
    lost = len(tuning.candidates) - len(tuning.losses)
    shown = show.NOTHING if sensitivity is None else show.loss(sensitivity)
    return shown + (f" ({lost} without a loss)" if lost else "")


def _not_separable(tuning: ReportedTuning) -> str | None:
    """Candidates that may be as good as the chosen one, for all that the tuning seeds say."""
    losses = {one.shown: one.losses for one in tuning.candidates if one.loss is not None}
    if tuning.chosen is None or len(losses) < 2:
        return None
    pairs = between_losses(losses)
    if all(pair.adjusted is None for pair in pairs.values()):
        return "undecided: one seed"
    return ", ".join(not_separable(tuning.chosen.shown, [*losses], pairs)) or "none"


def _edge(tuning: ReportedTuning) -> str:
    return ", ".join(f"{end} {key}" for key, end in tuning.edges())


def _num_trials(tuning: ReportedTuning) -> str:
    seeds = len(tuning.candidates[0].trials)
    return f"{len(tuning.candidates)} values x {seeds} seed{'' if seeds == 1 else 's'}"


def _seconds(tuning: ReportedTuning) -> float:
    """Of training, probing and the strategy's statistics: what throughput is measured on."""
    spent = [result.throughput for result in _done(tuning) if result.throughput]
    return sum(one.training_seconds + one.probing_seconds + one.measuring_seconds for one in spent)


_COLUMNS: list[Column[ReportedTuning]] = [
    Column("method", lambda tuning: tuning.label, plain="method"),
    Column("chosen", _chosen, text=True),
    Column(None, lambda tuning: tuning.chosen and tuning.chosen.shown, plain="chosen"),
    Column(
        "validation loss",
        lambda tuning: (
            mean_over_seeds(list(tuning.chosen.losses.values())) if tuning.chosen else None
        ),
        show.losses,
        {
            "validation_loss": lambda found: found.mean,
            "validation_loss_stderr": lambda found: found.stderr,
        },
    ),
    Column("not separable from it", _not_separable, text=True),
    Column("sensitivity", _shown_sensitivity),
    Column(None, _sensitivity, plain="sensitivity"),
    Column(
        "at the edge of its grid",
        _edge,
        lambda edge: f"YES: {edge}" if edge else "no",
        "edge",
        text=True,
    ),
    Column("trials", _num_trials),
    Column(None, lambda tuning: len(tuning.candidates), plain="candidates"),
    Column(None, lambda tuning: len(tuning.trials), plain="trials"),
    Column(None, _num_not_done, plain="trials_not_done"),
    Column(
        "steps",
        lambda tuning: sum(one.optimizer_steps + one.probing_steps for one in _trained(tuning)),
        "{:,}".format,
        "steps",
    ),
    Column("FLOP", lambda tuning: sum(one.flops for one in _trained(tuning)), show.flops, "flops"),
    Column("seconds", _seconds, "{:,.1f}".format, "seconds"),
]
