"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from lwft_bench.reporting.render.table import Table

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "*": "\\*", "`": "\\`", "<": "&lt;", ">": "&gt;", "\n": " "}
)


def escape(text: str) -> str:
    """Text that shows as it is, also inside a table cell."""
    return text.translate(_ESCAPES)


def to_markdown(table: Table) -> str:
    """The table without its title, its notes as a list below."""
    columns = list(table.display.columns)
    left = {columns[0], *table.text_columns}
    lines = [
        _line([escape(column) for column in columns]),
        _line([":---" if column in left else "---:" for column in columns]),
        *(_line([escape(text) for text in row]) for row in table.display.itertuples(index=False)),
    ]
    if table.display.empty:
        lines = []
    notes = [f"- {escape(note)}" for note in table.notes]
    return "\n".join([*lines, *([""] if lines and notes else []), *notes]) + "\n"


def to_titled_markdown(table: Table) -> str:
    """The table under its title in bold."""
    return f"**{escape(table.title)}**\n\n{to_markdown(table)}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
