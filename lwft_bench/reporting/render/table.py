"""What every table is, before it is Markdown, LaTeX or CSV."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table twice over: as people read it and as programs do.

    display: strings; the first column and `text_columns` are read from the left, others from the
        right.
    values: plain numbers in basic units (shares, bytes, seconds) with one row a method; goes to
        CSV.
    notes: what a reader must know to judge the figures, one sentence or more each.
    """

    name: str
    title: str
    display: pd.DataFrame
    values: pd.DataFrame
    notes: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ()
