"""What every table is, before it is Markdown, LaTeX or CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from lwft_bench.reporting.render.formatting import NOTHING

_Item = TypeVar("_Item")
Plain = Mapping[str, Callable[[Any], Any]]
"""Names of columns in the CSV file, and what each takes from a column's value."""


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


@dataclass(frozen=True)
class Column(Generic[_Item]):
    """One column of a table, for people and for programs at once.

    name: the heading; None where only programs read it.
    value: takes what the column says from what a row stands for; None where there is nothing.
    show: makes text of it; it never sees None, which is shown as a dash.
    plain: its name in the CSV file, or several names with what each takes from the value; None
        where only people read it.
    text: whether it is read from the left.
    """

    name: str | None
    value: Callable[[_Item], Any]
    show: Callable[[Any], str] = str
    plain: str | Plain | None = None
    text: bool = False

    def shown(self, item: _Item) -> str:
        value = self.value(item)
        return NOTHING if value is None else self.show(value)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns in the CSV file."""
        if self.plain is None:
            return ()
        return (self.plain,) if isinstance(self.plain, str) else tuple(self.plain)

    def plainly(self, item: _Item) -> tuple[Any, ...]:
        """What stands under each of `names`."""
        if self.plain is None:
            return ()
        value = self.value(item)
        if isinstance(self.plain, str):
            return (value,)
        return tuple(None if value is None else take(value) for take in self.plain.values())


def tabulate(
    name: str,
    title: str,
    items: Iterable[_Item],
    columns: Sequence[Column[_Item]],
    *,
    notes: Iterable[str] = (),
    values: pd.DataFrame | None = None,
) -> Table:
    """A table with a row for each of `items`.

    Args:
        values: what goes to CSV where its rows are not the table's own (a row a cell, say).
    """
    rows = list(items)
    read = [column for column in columns if column.name is not None]
    display = pd.DataFrame(
        [[column.shown(row) for column in read] for row in rows],
        columns=[column.name for column in read],
    )
    return Table(
        name=name,
        title=title,
        display=display,
        values=plain_values(rows, columns) if values is None else values,
        notes=tuple(notes),
        text_columns=tuple(str(column.name) for column in read if column.text),
    )


def plain_values(items: Iterable[_Item], columns: Sequence[Column[_Item]]) -> pd.DataFrame:
    """What programs read: a row for each of `items`, in basic units."""
    return pd.DataFrame(
        [[value for column in columns for value in column.plainly(item)] for item in items],
        columns=[name for column in columns for name in column.names],
    )
