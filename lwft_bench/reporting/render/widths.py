"""How wide text is in Computer Modern and Times, nearly: enough to choose a size of letters."""

from __future__ import annotations

from lwft_bench.schema.tables import Style, Width

POINTS: dict[Style, dict[Width, float]] = {
    "article": {"column": 345.0, "text": 345.0},
    "acl": {"column": 219.1, "text": 455.2},
    "neurips": {"column": 397.5, "text": 397.5},
    "icml": {"column": 234.9, "text": 487.8},
    "iclr": {"column": 397.5, "text": 397.5},
}
"""\\columnwidth and \\textwidth of each style at its usual options, in points. article: at 10
points, one column."""

SIZES = {r"\normalsize": 10.0, r"\small": 9.0, r"\footnotesize": 8.0, r"\scriptsize": 7.0}
"""Sizes of letters that a table may have, the largest first."""

_EM = {
    **dict.fromkeys("iljtf.,:;'|!()[]I", 0.31),
    **dict.fromkeys("rs-", 0.39),
    **dict.fromkeys("mwMW", 0.9),
    **dict.fromkeys("ABCDEFGHKLNOPQRTUVXYZ&%", 0.72),
    **dict.fromkeys("±−+=<>×", 0.78),
    " ": 0.33,
}


def ems(text: str) -> float:
    """Width in units of the letters' size."""
    return sum(_EM.get(character, 0.53) for character in text)
