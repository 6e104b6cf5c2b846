"""A paper's table, from its description and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from lwft_bench.reporting.numbers.cautions import cautions
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import CONFIDENCE, Estimate
from lwft_bench.reporting.numbers.student import student_quantile
from lwft_bench.reporting.paper.amounts import Amount, ColumnUnit, unit_of
from lwft_bench.reporting.paper.footnotes import NoteStyle, footnotes
from lwft_bench.reporting.paper.lines import QUOTED, Line, by_task, lines_of
from lwft_bench.reporting.paper.marks import Ties, marked
from lwft_bench.reporting.paper.metrics import Metric, metrics_of
from lwft_bench.reporting.read.statements import Quoted
from lwft_bench.reporting.render.grid import GridEntry, GridRow, Layout, PaperGrid
from lwft_bench.schema.suite import AVERAGE
from lwft_bench.schema.tables import BlockKey, PlusMinus, Preset, TableSpec

_BLOCKS: Mapping[Preset, tuple[BlockKey, ...]] = {
    "paper": ("model",),
    "memory": ("model",),
    "efficiency": ("model",),
    "ablation": ("model", "method"),
}
_TITLES: Mapping[Preset, str] = {
    "paper": "Accuracy (%)",
    "memory": "Peak memory and what it is made of",
    "efficiency": "Accuracy, memory, speed and cost",
    "ablation": "Ablations",
}


def grids(
    name: str, spec: TableSpec, context: Context, quoted: Sequence[Quoted]
) -> list[PaperGrid]:
    """The tables that a description gives: one, or one for each task; empty ones are left out."""
    blocks = _BLOCKS[spec.preset] if spec.blocks is None else spec.blocks
    tables = by_task(spec, blocks, lines_of(spec, context, quoted))
    found = []
    for lines in tables:
        task = next((line.task for line in lines if line.task), None)
        suffix = f"--{task}" if len(tables) > 1 and task else ""
        grid = _grid(name + suffix, spec, blocks, lines, context)
        if grid is not None:
            found.append(grid)
    return found


def _grid(
    name: str, spec: TableSpec, blocks: Sequence[BlockKey], lines: list[Line], context: Context
) -> PaperGrid | None:
    if spec.preset == "ablation" and spec.blocks is None:
        lines = [line for line in lines if line.options]
    lines = _ordered(spec, blocks, lines, metrics_of(spec, blocks, lines))
    metrics = metrics_of(spec, blocks, lines)
    lines = [line for line in lines if _has_any(line, metrics)]
    if not lines:
        return None
    signs = NoteStyle(spec.notes, spec.plus_minus or "stderr", spec.highlight or "ties")
    places, ties = _block_places(blocks, lines), Ties()
    columns = [_column(metric, lines, places, signs, ties) for metric in metrics]
    kept = [n for n, (_, entries) in enumerate(columns) if any(one.number for one in entries)]
    shown = [metrics[n] for n in kept]
    entries = [entry for n in kept for entry in columns[n][1]]
    signs = replace(
        signs,
        any_spread=any(entry.error for entry in entries),
        any_mark=any(entry.marked for entry in entries),
    )
    memory = any(metric.kind == "bytes" or metric.name == "memory_ratio" for metric in shown)
    told = cautions(context.comparisons, context.records.tunings, memory)
    return PaperGrid(
        name=name,
        title=spec.title or _title(spec, lines),
        leading=(*(str(key) for key in blocks), _row_heading(blocks)),
        headings=tuple(columns[n][0] for n in kept),
        rows=tuple(
            GridRow(
                tuple(_block_name(spec, key, line) for key in blocks),
                _label(spec, blocks, line),
                tuple(columns[n][1][place] for n in kept),
            )
            for place, line in enumerate(lines)
        ),
        values=_values(lines, shown, [columns[n][1] for n in kept]),
        notes=(*footnotes(lines, shown, signs, told), *context.records.warnings),
        layout=Layout(spec.style, spec.width, spec.resize),
    )


def _title(spec: TableSpec, lines: Sequence[Line]) -> str:
    tasks = dict.fromkeys(line.task for line in lines if line.task)
    return (
        f"{_TITLES[spec.preset]} on {', '.join(map(str, tasks))}" if tasks else _TITLES[spec.preset]
    )


def _ordered(
    spec: TableSpec, blocks: Sequence[BlockKey], lines: list[Line], metrics: Sequence[Metric]
) -> list[Line]:
    """Block by block in order of appearance; quoted rows last in theirs."""
    orders = [
        {
            name: place
            for place, name in enumerate(dict.fromkeys(line.name_in(key) for line in lines))
        }
        for key in blocks
    ]

    def place(line: Line) -> tuple[object, ...]:
        own = tuple(order[line.name_in(key)] for order, key in zip(orders, blocks, strict=True))
        return (*own, line.published is not None, _falling(line, metrics) if best else 0.0)

    best = spec.order == "best"
    return sorted(lines, key=place)


def _falling(line: Line, metrics: Sequence[Metric]) -> float:
    metric = next((metric for metric in metrics if metric.kind == "share"), None)
    averages = [one for one in metrics if one.name == AVERAGE]
    metric = averages[0] if averages else metric
    value = metric.measure(line) if metric else None
    return -value.value if isinstance(value, Amount) else float("inf")


def _has_any(line: Line, metrics: Sequence[Metric]) -> bool:
    return line.measured is not None or any(
        isinstance(metric.measure(line), Amount) for metric in metrics
    )


def _block_places(blocks: Sequence[BlockKey], lines: Sequence[Line]) -> list[list[int]]:
    names = [tuple(line.name_in(key) for key in blocks) for line in lines]
    return [[n for n, own in enumerate(names) if own == name] for name in dict.fromkeys(names)]


def _column(
    metric: Metric,
    lines: Sequence[Line],
    places: Sequence[Sequence[int]],
    signs: NoteStyle,
    ties: Ties,
) -> tuple[str, list[GridEntry]]:
    """The heading with its unit, and what stands in each row."""
    measured = [metric.measure(line) for line in lines]
    found = {n: one for n, one in enumerate(measured) if isinstance(one, Amount)}
    unit = unit_of(metric.kind, [one.value for one in found.values()])
    bold: set[int] = set()
    for block in places:
        own = {n: found[n] for n in block if n in found}
        bold |= marked(metric, lines, own, signs.highlight, ties)
    entries = [
        _entry(one, unit, metric, signs.plus_minus, n in bold) for n, one in enumerate(measured)
    ]
    heading = f"{metric.heading} ({unit.name})" if unit.name else metric.heading
    return heading, entries


def _entry(
    found: Amount | str | None, unit: ColumnUnit, metric: Metric, plus_minus: PlusMinus, bold: bool
) -> GridEntry:
    if found is None:
        return GridEntry()
    if isinstance(found, str):
        return GridEntry(word=found)
    error = _spread(found.spread, plus_minus) if found.spread is not None else None
    unsigned = ColumnUnit(unit.size, "", unit.decimals)
    if metric.kind == "points" and error == 0.0:  # all alike, which shows no error
        error = None
    shown = "" if error is None else unsigned.show(error, metric.digits)
    return GridEntry(unit.show(found.value, metric.digits), shown, marked=bold)


def _spread(estimate: Estimate, plus_minus: PlusMinus) -> float | None:
    """None where there is none to show, as of seeds with one seed."""
    if plus_minus == "none" or estimate.stderr != estimate.stderr:
        return None
    if plus_minus == "stderr":
        return estimate.stderr
    if estimate.seed_stderr is None:
        return None
    if plus_minus == "seeds":
        return float(estimate.seed_stderr * estimate.num_seeds**0.5)
    return student_quantile(CONFIDENCE, estimate.degrees) * estimate.stderr


def _block_name(spec: TableSpec, key: BlockKey, line: Line) -> str:
    name = line.name_in(key)
    return spec.labels.get(name, name)


def _row_heading(blocks: Sequence[BlockKey]) -> str:
    return "value" if "method" in blocks else "method"


def _label(spec: TableSpec, blocks: Sequence[BlockKey], line: Line) -> str:
    """The method and its ablated options, as far as no block says them."""
    method = "" if "method" in blocks else spec.labels.get(line.method, line.method)
    options = "" if "ablation" in blocks else line.options
    label = f"{method} ({options})" if method and options else method or options or line.method
    return label + line.apart + (QUOTED if line.published else "")


def _values(
    lines: Sequence[Line], metrics: Sequence[Metric], columns: Sequence[Sequence[GridEntry]]
) -> pd.DataFrame:
    """A row each, in basic units: shares, bytes, seconds."""
    rows = []
    for place, line in enumerate(lines):
        row: dict[str, object] = {
            "model": line.model,
            "task": line.task,
            "method": line.method,
            "options": line.options,
            "apart": line.apart.strip(" []"),
            "published": line.published is not None,
        }
        for metric, entries in zip(metrics, columns, strict=True):
            row.update(_plain(metric, line, entries[place]))
        rows.append(row)
    return pd.DataFrame(rows)


def _plain(metric: Metric, line: Line, entry: GridEntry) -> Iterator[tuple[str, object]]:
    found = metric.measure(line)
    quantity = found if isinstance(found, Amount) else None
    yield metric.name, quantity.value if quantity else None
    if metric.kind in ("share", "points", "rate", "seconds"):
        spread = quantity.spread if quantity else None
        yield f"{metric.name}_stderr", spread.stderr if spread else None
    if metric.better:
        yield f"{metric.name}_marked", entry.marked
