"""A table as papers print them: rows in blocks, numbers with what stands behind ±, the best marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from lwft_bench.reporting.render.formatting import NOTHING
from lwft_bench.reporting.render.html_table import html_text
from lwft_bench.reporting.render.markdown import escape
from lwft_bench.schema.tables import PaperStyle, Width


@dataclass(frozen=True)
class GridEntry:
    """What stands in one place.

    number: digits with a point, grouping commas and a real minus; "" where `word` stands instead.
    error: what stands behind ±. star: behind both. marked: printed in bold.
    """

    number: str = ""
    error: str = ""
    word: str = NOTHING
    star: str = ""
    marked: bool = False

    @property
    def text(self) -> str:
        """As people read it, without the mark."""
        if not self.number:
            return self.word
        return self.number + (f" ± {self.error}" if self.error else "") + self.star


@dataclass(frozen=True)
class GridRow:
    """blocks: the names of what it belongs to, the outermost first."""

    blocks: tuple[str, ...]
    label: str
    entries: tuple[GridEntry, ...]


@dataclass(frozen=True)
class Layout:
    """For LaTeX."""

    style: PaperStyle = "article"
    width: Width = "text"
    resize: bool = False


@dataclass(frozen=True)
class PaperGrid:
    """leading: headings of the blocks and of the rows' labels. values: a row each in basic units, for
    CSV. notes: a sentence or more each.
    """

    name: str
    title: str
    leading: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[GridRow, ...]
    values: pd.DataFrame
    notes: tuple[str, ...] = ()
    layout: Layout = Layout()

    @property
    def spans(self) -> list[tuple[int, ...]]:
        """Of each row, how many rows each of its blocks' names stands for: 0 where it stands above."""
        spans = [[0] * len(row.blocks) for row in self.rows]
        for depth in range(len(self.leading) - 1):
            names = [row.blocks[: depth + 1] for row in self.rows]
            for _, group in groupby(enumerate(names), lambda one: one[1]):
                (first, _), *others = group
                spans[first][depth] = 1 + len(others)
        return [tuple(one) for one in spans]


def grid_as_markdown(grid: PaperGrid) -> str:
    """Under its title in bold; marked numbers are bold."""
    head = [*map(escape, grid.leading), *map(escape, grid.headings)]
    aligned = [":---"] * len(grid.leading) + ["---:"] * len(grid.headings)
    lines = [_row(head), _row(aligned)]
    for row, spans in zip(grid.rows, grid.spans, strict=True):
        names = [escape(name) if span else "" for name, span in zip(row.blocks, spans, strict=True)]
        lines.append(_row([*names, escape(row.label), *map(_markdown, row.entries)]))
    notes = [f"- {escape(note)}" for note in grid.notes]
    return "\n".join(
        [f"**{escape(grid.title)}**", "", *lines, *([""] if notes else []), *notes, ""]
    )


def _markdown(entry: GridEntry) -> str:
    text = escape(entry.text)
    return f"**{text}**" if entry.marked else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def grid_as_html(grid: PaperGrid) -> str:
    """A fragment: one `table` and its notes; nothing in names or notes is markup."""
    lines = [
        '<figure class="lwft-table">',
        "<table>",
        f"<caption>{html_text(grid.title)}</caption>",
    ]
    heads = [*grid.leading, *grid.headings]
    lines += ["<thead><tr>", *(f'<th scope="col">{html_text(one)}</th>' for one in heads)]
    lines += ["</tr></thead>", "<tbody>"]
    for row, spans in zip(grid.rows, grid.spans, strict=True):
        lines.append("<tr>" + "".join(_html_cells(row, spans)) + "</tr>")
    lines += ["</tbody>", "</table>"]
    if grid.notes:
        lines += ["<figcaption><ul>", *(f"<li>{html_text(one)}</li>" for one in grid.notes)]
        lines.append("</ul></figcaption>")
    return "\n".join([*lines, "</figure>", ""])


def _html_cells(row: GridRow, spans: tuple[int, ...]) -> Iterator[str]:
    for name, span in zip(row.blocks, spans, strict=True):
        if span:
            yield f'<th scope="rowgroup" rowspan="{span}">{html_text(name)}</th>'
    yield f'<th scope="row">{html_text(row.label)}</th>'
    for entry in row.entries:
        text = html_text(entry.text)
        yield f"<td>{f'<strong>{text}</strong>' if entry.marked else text}</td>"
