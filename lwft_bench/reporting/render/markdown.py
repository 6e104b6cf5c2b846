"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from lwft_bench.reporting.render.table import Table

_BREAK = "\0"
"""Stands where a character without width breaks a link, until the text is escaped."""

_ESCAPES = str.maketrans(
    {"<": "&lt;", ">": "&gt;", "\n": " "} | {sign: f"\\{sign}" for sign in "\\|*`$~"}
)
_ENTITIES = re.compile(r"&(?=#?\w+;)")
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Within a word an underscore stays one."""

_LINKS = re.compile(r"(?<=\])(?=[(\[:])|(?<=[A-Za-z]):(?=//)")
"""Where brackets become a link or an image, and an address becomes one by itself."""


def escape(text: str) -> str:
    """Text that shows as it is, also inside a table cell: nothing in it links, is fetched or is math."""
    plain = _ENTITIES.sub("&amp;", _LINKS.sub(_broken, shown(text)))
    return _EMPHASIS.sub(r"\\_", plain.translate(_ESCAPES)).replace(_BREAK, "&#8203;")


def escape_block(text: str) -> str:
    """As `escape`, for a paragraph, which could begin like a heading, a list or a rule."""
    return re.sub(r"^(?=[#+=~\[-])|(?<=^\d)(?=[.)])", r"\\", escape(text.lstrip()))


def shown(text: str) -> str:
    """Without control characters, each a space, and half characters."""
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return plain.encode(errors="replace").decode()


def fenced(lines: list[str]) -> list[str]:
    """Lines of shell code in a fence that nothing in them closes."""
    plain = [shown(line).replace("\n", " ") for line in lines]
    longest = max((len(run) for line in plain for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}sh", *plain, fence]


def _broken(match: re.Match[str]) -> str:
    return match.group() + _BREAK


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
