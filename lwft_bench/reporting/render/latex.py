"""Tables for a paper: LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.render.widths import LETTERS, POINTS, ems

_SYMBOLS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "\n": " ",
}


def escaped(text: str) -> str:
    """Text that pdflatex sets as it is; what its fonts lack becomes its code point in brackets."""
    return re.sub("-(?=-)", "-{}", "".join(map(_symbol, text)))  # no dash out of two hyphens


def _symbol(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if character.isascii() and character.isprintable():
        return character
    return f"[U+{ord(character):04X}]"


def to_latex(table: Table) -> str:
    """A table float, its notes below. Columns for which the text is too narrow follow below the others,
    behind the first column again, so that nothing is shrunk.

    The document needs `array`, `booktabs` and the T1 font encoding.
    """
    notes = " ".join(escaped(note) for note in table.notes)
    widths = {column: _width(table, column) for column in table.display.columns}
    parts = [
        line for columns in _folded(widths) for line in (*_tabular(table, columns, widths), _BELOW)
    ]
    return "\n".join(
        [
            r"% needs \usepackage{array,booktabs} and \usepackage[T1]{fontenc}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(table.title)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9.-]', '-', table.name)}}}",
            rf"{_SIZE}\setlength{{\tabcolsep}}{{{_GAP:g}pt}}",
            *parts[:-1],
            rf"\par\smallskip\parbox{{\textwidth}}{{\footnotesize {notes}}}",
            r"\end{table}",
            "",
        ]
    )


_SIZE, _GAP = r"\footnotesize", 3.0
_ROOM = POINTS["article"]["text"]
_POINTS = LETTERS["article"][_SIZE]
_LONGEST = 0.55 * _ROOM
"""Of a column of text, which is broken into lines."""
_BROKEN = rf">{{\raggedright\arraybackslash}}p{{{_LONGEST:.0f}pt}}"
_BELOW = r"\par\medskip"


def _width(table: Table, column: str) -> float:
    """In points, without the space around it."""
    heads = re.split("[ -]", column) if len(column) >= 10 else [column]
    texts = [*heads, *map(str, table.display[column])]
    natural = _POINTS * max(map(ems, texts))
    return min(natural, _LONGEST) if column in table.text_columns else natural


def _folded(widths: Mapping[str, float]) -> Iterator[list[str]]:
    """The columns of each part, as many as are no wider than the text; the first one in all."""
    first, *others = widths
    part, width = [first], widths[first]
    for column in others:
        own = widths[column] + 2 * _GAP
        if len(part) > 1 and width + own > _ROOM:
            yield part
            part, width = [first], widths[first]
        part.append(column)
        width += own
    yield part


def _tabular(table: Table, columns: Sequence[str], widths: Mapping[str, float]) -> Iterator[str]:
    left = {columns[0], *table.text_columns}
    broken = {column for column in table.text_columns if widths[column] >= _LONGEST}
    kinds = "".join(
        _BROKEN if column in broken else "l" if column in left else "r" for column in columns
    )
    yield rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}"
    yield r"\toprule"
    yield _ended(" & ".join(_header(column, column in left) for column in columns))
    yield r"\midrule"
    for row in table.display[list(columns)].itertuples(index=False):
        yield _line(list(row))
    yield r"\bottomrule"
    yield r"\end{tabular}"


def heading_lines(text: str) -> list[str]:
    """A heading on one line, or on two where it can be broken near its middle, so that figures set the
    width of a column.
    """
    breaks = [match.end() for match in re.finditer(r"[ -]", text)]
    if len(text) < 10 or not breaks:
        return [text]
    middle = min(breaks, key=lambda place: abs(2 * place - len(text)))
    return [text[:middle].rstrip(" "), text[middle:]]


def _header(text: str, left: bool) -> str:
    upper, *lower = heading_lines(text)
    if not lower:
        return escaped(upper)
    below = begun(escaped(lower[0]))
    return rf"\shortstack[{'l' if left else 'r'}]{{{escaped(upper)}\\{below}}}"


def _line(cells: list[str]) -> str:
    return _ended(" & ".join(map(escaped, cells)))


def _ended(row: str) -> str:
    """The row with its end."""
    return begun(row) + r" \\"


def begun(line: str) -> str:
    """A bracket or star in front would be taken for an option of the line's end before."""
    return ("{}" if line[:1] in ("[", "*") else "") + line
