"""The check's outcome as a page of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]

FORMATS = {
    "_bytes_per_second": lambda value: f"{value / 1e9:.1f} GB/s",
    "_flops_per_second": lambda value: f"{value / 1e12:.0f} TFLOP/s",
    "_per_second": lambda value: f"{value:,.0f}",
    "_bytes": lambda value: f"{value / 2**30:,.3f} GiB" if value >= 2**27 else f"{value:,} B",
    "_gb": lambda value: f"{value:.2f}",
    "_seconds": lambda value: f"{value * 1e3:,.1f} ms" if value < 10 else f"{value:,.1f} s",
    "_share": lambda value: f"{100 * value:+.1f} %",
    "_ratio": lambda value: f"{value:.3f}",
}


def page(document: Document) -> str:
    """Markdown."""
    lines = ["# Device check", ""]
    if document["rehearsal"]:
        lines += [
            "**A rehearsal on the CPU with tiny shapes: no number here says anything of a GPU.**",
            "",
        ]
    lines += [f"Started {document['started']}; `{document['command']}`.", ""]
    summary = [
        [
            stage["name"],
            stage["status"],
            f"{stage['seconds']:.0f} of {stage['limit_seconds']:.0f}",
            stage["why"],
        ]
        for stage in document["stages"]
    ]
    lines += table(["stage", "outcome", "seconds", "why"], summary)
    for stage in document["stages"]:
        lines += [f"## {stage['title']}", ""]
        if stage["why"]:
            lines += [f"{stage['status'].capitalize()}: {stage['why']}.", ""]
        for name in dict.fromkeys(row["table"] for row in stage["rows"]):
            rows = [row for row in stage["rows"] if row["table"] == name]
            columns = list(dict.fromkeys(key for row in rows for key in row if key != "table"))
            shown = [[show(column, row.get(column)) for column in columns] for row in rows]
            lines += [f"### {name}", "", *table([c.replace("_", " ") for c in columns], shown)]
    return "\n".join(lines).rstrip() + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, [":---"] + ["---:"] * (len(header) - 1), *rows]
    return ["| " + " | ".join(one.replace("|", "\\|") for one in row) + " |" for row in cells] + [
        ""
    ]


def show(column: str, value: Any) -> str:
    """A value as its column's name asks for."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int | float):
        for ending, form in FORMATS.items():
            if f"_{column}".endswith(ending):
                return form(value)
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return str(value)
