"""How much of each benchmark stands in the training data, and scores on what does not."""

from __future__ import annotations

import pandas as pd

from lwft_bench.config.suite import AVERAGE
from lwft_bench.reporting.numbers.comparison import Comparison, Row
from lwft_bench.reporting.numbers.statistics import Estimate, crossed_mean
from lwft_bench.reporting.read.records import NOT_SOUGHT, RunRecords
from lwft_bench.reporting.render import formatting as show
from lwft_bench.reporting.render.table import Table

_NOTES = (
    "exact: the same words in the same order. near: the same letters in other words, or a run of 8 "
    "to 13 words in common that at most 10 training examples have (Brown et al. 2020, appendix C).",
)


def contamination_table(records: RunRecords, comparison: Comparison) -> Table | None:
    """One line a benchmark; methods' accuracies on all items and on clean ones where some are not.

    None where no cell looked for overlap.
    """
    cells = [cell.id for row in comparison.scored for cell in row.done]
    samples = records.samples[records.samples["cell"].isin(cells)]
    samples = samples[samples["overlap"] != NOT_SOUGHT].drop_duplicates(["benchmark", "id"])
    if samples.empty:
        return None
    kinds = {
        str(name): group.set_index("id")["overlap"] for name, group in samples.groupby("benchmark")
    }
    found = {
        name: list(kinds[name].dropna().index) for name in comparison.benchmarks if name in kinds
    }
    leaks = any(found.values())
    display, values = [], []
    for name in found:
        counts = {
            "items": len(kinds[name]),
            "exact": int((kinds[name] == "exact").sum()),
            "near": int((kinds[name] == "near").sum()),
        }
        shown = {"benchmark": name} | {key: str(count) for key, count in counts.items()}
        plain: dict[str, object] = {
            "model": comparison.model,
            "task": comparison.task,
            "benchmark": name,
            **counts,
        }
        for row in comparison.scored:
            clean = _on_clean(row, {name: found[name]})
            plain[f"{row.label}_clean"] = clean.mean if clean else None
            if leaks:
                shown[row.label] = _both(row.accuracy.get(name), clean)
        display.append(shown)
        values.append(plain)
    if leaks:
        averages = {
            row.label: _both(row.accuracy[AVERAGE], _on_clean(row, found))
            for row in comparison.scored
        }
        no_counts = {"items": "", "exact": "", "near": ""}
        display.append({"benchmark": AVERAGE} | no_counts | averages)
    notes = (
        (*_NOTES, "Accuracy (%): on all items → on those found in neither way.")
        if leaks
        else _NOTES
    )
    return Table(
        name=f"contamination{comparison.suffix}",
        title=f"{comparison.model} on {comparison.task}: test questions in the training data",
        display=pd.DataFrame(display),
        values=pd.DataFrame(values),
        notes=notes,
    )


def _on_clean(row: Row, found: dict[str, list[str]]) -> Estimate | None:
    """The unweighted mean over benchmarks, over items that were not found; None if some have none."""
    tables = [
        row.correct[name].drop(columns=identifiers, errors="ignore").to_numpy()
        for name, identifiers in found.items()
        if name in row.correct
    ]
    if not tables or any(table.shape[1] == 0 for table in tables):
        return None
    return crossed_mean(tables)


def _both(on_all: Estimate | None, on_clean: Estimate | None) -> str:
    return f"{_percent(on_all)} → {_percent(on_clean)}"


def _percent(estimate: Estimate | None) -> str:
    return f"{100 * estimate.mean:.1f}" if estimate else show.NOTHING
