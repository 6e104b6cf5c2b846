"""A grid as LaTeX: booktabs, columns that siunitx aligns, blocks by multirow, no wider than the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lwft_bench.reporting.render.grid import GridEntry, PaperGrid
from lwft_bench.reporting.render.latex import begun, escaped, heading_lines
from lwft_bench.reporting.render.widths import LETTERS, POINTS, ems

_NEEDS = r"% needs \usepackage{booktabs,multirow,siunitx,graphicx} and \usepackage[T1]{fontenc}"
TOO_WIDE = "% Wider than the "
"""How the comment begins that says that a table does not fit."""
_GAPS = (4.0, 3.0, 2.0, 1.5)
"""Half of the space between two columns, in points, the widest first."""


@dataclass(frozen=True)
class _Fit:
    """size: a command. gap: \\tabcolsep in points. enough: whether it is no wider than it may be."""

    size: str
    gap: float
    enough: bool


def grid_as_latex(grid: PaperGrid) -> str:
    """A table float whose letters are as large as its width allows.

    Where even the smallest are too wide, a comment says so and what helps; nothing is shrunk.
    """
    layout = grid.layout
    float_name = "table*" if layout.width == "text" and layout.style in ("acl", "icml") else "table"
    fit = _fit(grid)
    columns = "".join([*("l" * len(grid.leading)), *map(_column, _entries(grid))])
    table = [
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _ended(" & ".join(_headings(grid))),
        r"\midrule",
        *_body(grid),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if layout.resize:
        table = [r"\resizebox{\linewidth}{!}{%", *table[:-1], r"\end{tabular}}"]
    notes = " ".join(escaped(note) for note in grid.notes)
    return "\n".join(
        [
            _NEEDS,
            *([] if fit.enough or layout.resize else [_too_wide(grid)]),
            rf"\begin{{{float_name}}}[t]",
            r"\centering",
            rf"\caption{{{escaped(grid.title)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9.-]', '-', grid.name)}}}",
            rf"{fit.size}\setlength{{\tabcolsep}}{{{fit.gap:g}pt}}",
            *table,
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize {notes}}}"] if notes else []),
            rf"\end{{{float_name}}}",
            "",
        ]
    )


def fits_width(grid: PaperGrid) -> bool:
    """Whether some size of letters keeps it within its width."""
    return _fit(grid).enough


def _too_wide(grid: PaperGrid) -> str:
    width = POINTS[grid.layout.style][grid.layout.width]
    return (
        f"{TOO_WIDE}{width:.0f} points of {grid.layout.style}: give it fewer columns, shorter "
        "labels, `plus_minus: none`, `width: text`, or `resize: true`."
    )


def _entries(grid: PaperGrid) -> list[list[GridEntry]]:
    """Column by column."""
    return [[row.entries[n] for row in grid.rows] for n in range(len(grid.headings))]


def _column(entries: Sequence[GridEntry]) -> str:
    """A column that siunitx aligns at the decimal point, with room behind it for the widest error."""
    numbers = [_plain(entry.number) for entry in entries if entry.number]
    if not numbers:
        return "c"
    whole = max(len(number.lstrip("-").partition(".")[0]) for number in numbers)
    decimals = max(len(number.partition(".")[2]) for number in numbers)
    sign = "-" if any(number.startswith("-") for number in numbers) else ""
    behind = max((_behind(entry) for entry in entries if entry.number), key=len)
    room = f",table-space-text-post={{{behind}}}" if behind else ""
    return (
        rf"S[table-format={sign}{whole}.{decimals},table-align-text-post=false,"
        rf"detect-weight=true,mode=text{room}]"
    )


def _plain(number: str) -> str:
    return number.replace("−", "-").replace(",", "").replace("+", "")


def _behind(entry: GridEntry) -> str:
    error = rf"\,{{\mdseries\tiny$\pm$\,{entry.error}}}" if entry.error else ""
    return error + (rf"$^{{{entry.star}}}$" if entry.star else "")


def _set(entry: GridEntry) -> str:
    if not entry.number:
        word = escaped(entry.word)
        return rf"{{\bfseries {word}}}" if entry.marked else f"{{{word}}}"
    bold = r"\bfseries " if entry.marked else ""
    behind = _behind(entry)
    return f"{bold}{_plain(entry.number)}{f' {{{behind}}}' if behind else ''}"


def _headings(grid: PaperGrid) -> Iterator[str]:
    for text in grid.leading:
        yield begun(escaped(text))
    for text in grid.headings:
        yield "{" + _over_lines(text) + "}"


def _over_lines(text: str) -> str:
    lines = [begun(escaped(line)) for line in heading_lines(text)]
    return lines[0] if len(lines) == 1 else rf"\shortstack{{{lines[0]}\\{lines[1]}}}"


def _body(grid: PaperGrid) -> Iterator[str]:
    for number, (row, spans) in enumerate(zip(grid.rows, grid.spans, strict=True)):
        if number and spans and spans[0]:
            yield r"\midrule"
        elif number and any(spans):
            depth = next(n for n, span in enumerate(spans) if span)
            yield rf"\cmidrule{{{depth + 1}-{len(grid.leading) + len(grid.headings)}}}"
        names = [
            rf"\multirow{{{span}}}{{*}}{{{_over_lines(name)}}}" if span else ""
            for name, span in zip(row.blocks, spans, strict=True)
        ]
        yield _ended(" & ".join([*names, escaped(row.label), *map(_set, row.entries)]))


def _ended(row: str) -> str:
    return begun(row) + r" \\"


def _fit(grid: PaperGrid) -> _Fit:
    """The largest letters with which the table is no wider than its column or text."""
    room = POINTS[grid.layout.style][grid.layout.width]
    *sizes, (_, tiny) = LETTERS[grid.layout.style].items()
    leading = sum(max(map(ems, texts)) for texts in _leading(grid))
    gaps = 2 * (len(grid.leading) + len(grid.headings) - 1)
    columns = list(zip(grid.headings, _entries(grid), strict=True))
    for size, points in sizes:
        width = points * leading
        for heading, entries in columns:
            head = points * max(map(ems, heading_lines(heading)))
            width += max([head, *(_width(entry, points, tiny) for entry in entries)])
        for gap in _GAPS:
            if width + gaps * gap <= room:
                return _Fit(size, gap, True)
    return _Fit(sizes[-1][0], _GAPS[-1], False)


def _leading(grid: PaperGrid) -> Iterator[list[str]]:
    """Lines of the names of blocks, which may be broken, and of the rows' labels, column by column."""
    for depth, heading in enumerate(grid.leading[:-1]):
        names = {row.blocks[depth] for row in grid.rows}
        yield [heading, *(line for name in names for line in heading_lines(name))]
    yield [grid.leading[-1], *(row.label for row in grid.rows)]


def _width(entry: GridEntry, points: float, tiny: float) -> float:
    if not entry.number:
        return points * ems(entry.word)
    bold = 1.13 if entry.marked else 1.0
    behind = tiny * ems(f"±{entry.error}") + 4.0 if entry.error else 0.0
    return bold * points * ems(_plain(entry.number)) + behind + 0.4 * points * len(entry.star)
