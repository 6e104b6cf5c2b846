"""Tables for a paper: LaTeX with booktabs."""

from __future__ import annotations

import re

from lwft_bench.reporting.render.table import Table

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
    """A table float, shrunk to the text width where it is wider, its notes below.

    The document needs `booktabs`, `graphicx` and the T1 font encoding.
    """
    columns = list(table.display.columns)
    left = {columns[0], *table.text_columns}
    alignment = "".join("l" if column in left else "r" for column in columns)
    body = [_line(list(row)) for row in table.display.itertuples(index=False)]
    notes = " ".join(escaped(note) for note in table.notes)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,graphicx} and \usepackage[T1]{fontenc}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(table.title)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9.-]', '-', table.name)}}}",
            r"\setlength{\tabcolsep}{3pt}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _ended(" & ".join(_header(column, column in left) for column in columns)),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            rf"\par\smallskip\parbox{{\textwidth}}{{\footnotesize {notes}}}",
            r"\end{table}",
            "",
        ]
    )


def _header(text: str, left: bool) -> str:
    """Over two lines where it can be broken near its middle, so that figures set the width."""
    breaks = [match.end() for match in re.finditer(r"[ -]", text)]
    if len(text) < 10 or not breaks:
        return escaped(text)
    middle = min(breaks, key=lambda position: abs(2 * position - len(text)))
    upper, lower = escaped(text[:middle].rstrip(" ")), begun(escaped(text[middle:]))
    return rf"\shortstack[{'l' if left else 'r'}]{{{upper}\\{lower}}}"


def _line(cells: list[str]) -> str:
    return _ended(" & ".join(map(escaped, cells)))


def _ended(row: str) -> str:
    """The row with its end."""
    return begun(row) + r" \\"


def begun(line: str) -> str:
    """A bracket or star in front would be taken for an option of the line's end before."""
    return ("{}" if line[:1] in ("[", "*") else "") + line
