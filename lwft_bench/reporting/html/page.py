"""report.html: one file with its data and its libraries, that asks no network for anything.

Text of a run is escaped wherever it stands in the page's markup; all else of it is data in a block of
JSON, which the page's script shows as text. The content security policy allows the scripts below by
their digests and nothing else, so that markup that slipped through would run nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

from lwft_bench.reporting.html.charts import charts
from lwft_bench.reporting.html.libraries import PLOTLY, TABLES, TABLES_STYLE, Library, library
from lwft_bench.reporting.html.samples import first_items, samples
from lwft_bench.reporting.numbers.cautions import cautions
from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.read.in_processes import in_processes
from lwft_bench.reporting.render.formatting import NOTHING
from lwft_bench.reporting.render.markdown import shown
from lwft_bench.reporting.render.table import Table

_PARTS = {
    "accuracy": "Accuracy against memory",
    "losses": "Losses",
    "selections": "Selections over time",
    "samples": "Samples: what each method answered",
}
"""What the page's script fills."""
_FACTORS = {
    "": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?[\d,]*\.?\d+)\s*(MiB|GiB|[kMGTPE](?=FLOP)|[kMBT](?![A-Za-z]))?")


@dataclass(frozen=True, slots=True)
class TableSection:
    """What `table_markup` gave of a table. about: the model and task, or the run as a whole."""

    about: Context
    markup: str


def parts(context: Context) -> list[Callable[[], Any]]:
    """What takes long of a page, to be made in any process; `page` gets what they give."""
    about = _abouts(context)
    return [
        library(PLOTLY).packed,
        library(TABLES).packed,
        *(partial(_charts, one) for one in about),
        *first_items(about),
    ]


def page(
    context: Context,
    lead: str,
    sections: Sequence[TableSection],
    made: Sequence[Any] | None = None,
    of_suite: Sequence[str] = (),
) -> str:
    """The HTML report of a run, the same text from the same results and libraries.

    Args:
        lead: what the figures allow to be said.
        made: what `parts` gave, in their order; None: they are made here.
        of_suite: the tables that the suite describes, as HTML.
    """
    records, about = context.records, _abouts(context)
    own, plotly = Library(_asset("report.js")), library(PLOTLY)
    if made is None:
        made = list(in_processes(lambda part: part(), parts(context)))
    packed_plotly, packed_tables, *others = made
    drawn, items = others[: len(about)], others[len(about) :]
    data = f'{{"charts":[{",".join(drawn)}],"samples":{as_data(samples(about, items))}}}'
    policy = (
        f"default-src 'none'; script-src {own.digest} {plotly.digest} blob:; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    body = "\n".join(
        [
            f"<h1>{escaped_text(records.title)}</h1>",
            *([f"<p>{escaped_text(records.description)}</p>"] if records.description else []),
            *_cautions(cautions(context.comparisons, records.tunings)),
            f"<p>{escaped_text(lead)}</p>",
            *_warnings(records.warnings),
            *(part for number, one in enumerate(about) for part in _about(number, one, sections)),
            *(["<h2>Tables of the suite</h2>", *of_suite] if of_suite else []),
            *(one.markup for one in sections if one.about.current is None),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped_text(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped_text(records.title)}</title>\n"
        f"<style>{library(TABLES_STYLE).text}</style>\n<style>{_asset('report.css')}</style>\n"
        f"</head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{data}</script>\n'
        f'<script type="application/gzip" id="plotly">{packed_plotly}</script>\n'
        f'<script type="application/gzip" id="tables">{packed_tables}</script>\n'
        f"<script>{own.text}</script>\n</body>\n</html>\n"
    )


def table_markup(heading: str | None, table: Table) -> str:
    """A table under its heading, or its title."""
    return "\n".join([f"<h3>{escaped_text(heading or table.title)}</h3>", *_table(table)])


def escaped_text(text: str) -> str:
    """Text that stands in markup, or in an attribute between double quotes, as it is."""
    return html.escape(shown(text))


def as_data(data: Any) -> str:
    """JSON that ends no script block, whatever texts are in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _charts(context: Context) -> str:
    return as_data(charts(context))


def _abouts(context: Context) -> list[Context]:
    return [context.about(comparison) for comparison in context.comparisons]


def _asset(name: str) -> str:
    return (files("lwft_bench.reporting.html") / name).read_text(encoding="utf-8")


def _about(number: int, context: Context, sections: Sequence[TableSection]) -> Iterator[str]:
    comparison = context.comparison
    yield f'<section class="comparison" data-number="{number}">'
    yield f"<h2>{escaped_text(comparison.model)} on {escaped_text(comparison.task)}</h2>"
    yield from _warnings(comparison.warnings)
    parts = {f"{name}-{number}": heading for name, heading in _PARTS.items()}
    links = (f'<a href="#{name}">{heading}</a>' for name, heading in parts.items())
    yield f"<nav>{' '.join(links)}</nav>"
    accuracy, *others = (
        f'<div class="part" id="{name}" hidden><h3>{heading}</h3></div>'
        for name, heading in parts.items()
    )
    yield accuracy
    yield from (one.markup for one in sections if one.about.current is comparison)
    yield from others
    yield "</section>"


def _cautions(sentences: Sequence[str]) -> list[str]:
    """What must not be concluded, before any number."""
    text = escaped_text(" ".join(sentences))
    head = "<strong>What this does not say.</strong>"
    return [f'<p class="caution">{head} {text}</p>'] if sentences else []


def _warnings(warnings: Sequence[str]) -> list[str]:
    return [
        f'<p class="warning"><b>Warning:</b> {escaped_text(warning)}</p>' for warning in warnings
    ]


def _table(table: Table) -> Iterator[str]:
    columns = [str(column) for column in table.display.columns]
    left = {columns[0], *table.text_columns} if columns else set()
    if not table.display.empty:
        yield f'<div class="wide"><table data-name="{escaped_text(table.name)}"><thead><tr>'
        yield (
            "".join(f"<th>{escaped_text(column)}</th>" for column in columns)
            + "</tr></thead><tbody>"
        )
        cells = [[str(text) for text in table.display[column]] for column in columns]
        orders = [
            _order(texts, column in left) for column, texts in zip(columns, cells, strict=True)
        ]
        for row in range(len(table.display)):
            yield (
                "<tr>"
                + "".join(
                    f"<td{'' if column in left else _RIGHT}{order[row]}>{escaped_text(texts[row])}</td>"
                    for column, texts, order in zip(columns, cells, orders, strict=True)
                )
                + "</tr>"
            )
        yield "</tbody></table></div>"
    if table.notes:
        yield "<details><summary>Notes</summary><ul>"
        yield from (f"<li>{escaped_text(note)}</li>" for note in table.notes)
        yield "</ul></details>"


_RIGHT = ' class="number"'


def _order(texts: Sequence[str], of_words: bool) -> list[str]:
    """What each cell of a column is sorted by: its number, if the column has numbers, what has none
    last (as `baseline`); nothing where it is one of words.
    """
    values = [None if text in (NOTHING, "") else quantity(text) for text in texts]
    words = [text for text, value in zip(texts, values, strict=True) if value is None]
    mixed = any(text not in (NOTHING, "") for text in words)
    if all(value is None for value in values) or (of_words and mixed):
        return [""] * len(texts)
    return [f' data-order="{-1e300 if value is None else value:.12g}"' for value in values]


def quantity(text: str) -> float | None:
    """The number that a cell begins with, in basic units; None where it begins with none."""
    match = _QUANTITY.match(text.replace("−", "-").strip())
    if match is None:
        return None
    return float(match[1].replace(",", "")) * _FACTORS[match[2] or ""]
