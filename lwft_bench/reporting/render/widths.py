"""How wide text is in Computer Modern and Times, nearly: enough to choose a size of letters."""

from __future__ import annotations

from lwft_bench.schema.tables import PaperStyle, Width

POINTS: dict[PaperStyle, dict[Width, float]] = {
    "article": {"column": 345.0, "text": 345.0},
    "acl": {"column": 219.1, "text": 455.2},
    "neurips": {"column": 397.5, "text": 397.5},
    "icml": {"column": 234.9, "text": 487.8},
    "iclr": {"column": 397.5, "text": 397.5},
}
"""\\columnwidth and \\textwidth of each style at its usual options, in points. article: at 10
points, one column."""

_TIMES = {r"\normalsize": 10.0, r"\small": 9.0, r"\scriptsize": 7.0, r"\tiny": 6.0}

LETTERS: dict[PaperStyle, dict[str, float]] = {
    # Computer Modern's small letters are wider than large ones made smaller.
    "article": {
        r"\normalsize": 10.0,
        r"\small": 9.25,
        r"\footnotesize": 8.5,
        r"\scriptsize": 8.0,
        r"\tiny": 6.8,
    },
    "acl": {
        r"\normalsize": 10.95,
        r"\small": 10.0,
        r"\footnotesize": 9.0,
        r"\scriptsize": 8.0,
        r"\tiny": 6.0,
    },
    "neurips": _TIMES,
    "icml": _TIMES,
    "iclr": _TIMES,
}
"""Letters of each style in points, the largest first. The last stand behind ±, the others anywhere."""

_EM = {
    **dict.fromkeys("iljtf.,:;'|!()[]I", 0.31),
    **dict.fromkeys("rs-", 0.39),
    **dict.fromkeys("mwMW", 0.9),
    **dict.fromkeys("ABCDEFGHKLNOPQRTUVXYZ&%", 0.72),
    **dict.fromkeys("±−+=<>×", 0.78),
    " ": 0.33,
}


def ems(text: str) -> float:
    """Width in units of the letters' size, a little too much rather than too little."""
    return 1.05 * sum(_EM.get(character, 0.53) for character in text)
