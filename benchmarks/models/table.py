"""The survey's findings as the table of docs/models.md, and what each class came to.

`python benchmarks/models/table.py docs/models.md RESULTS.json ...` puts the findings of the files into
the page's table. Rows of classes that none of the files has stay as they are.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

Found = dict[str, Any]

BEGIN, END = "<!-- table -->", "<!-- end of table -->"
"""Between these the page is made by this script."""

STEPS = ("fft.steps", "lisa.steps")
ENGAGED = ("fft.engaged", "lisa.engaged", "lora.engaged", "fft.bf16")
PLANS = ("plan.float32", "plan.bf16")


def outcome(found: Found) -> str:
    """`right`, `refused: why` (before anything trains) or what is wrong."""
    if "hung" in found or "crashed" in found:
        return f"wrong: {found.get('hung') or found.get('crashed')}"
    trained = str(found.get("fft.engaged", "nothing"))
    if trained.startswith("refused"):
        return trained
    wrong = [
        f"{key} {value}"
        for keys, right in ((ENGAGED, "engaged"), (STEPS, "equal"), (PLANS, "equal"))
        for key in keys
        if key in found or not found.get("quick")
        if not (value := str(found.get(key, "nothing"))).startswith((right, "refused"))
    ]
    if wrong:
        return "wrong: " + "; ".join(wrong)
    return "right in what was tried" if found.get("quick") else "right"


def table(known: dict[str, Found], before: dict[str, str] | None = None) -> str:
    """Markdown. before: rows of classes, of which those that are not known anew are kept."""
    rows = {**(before or {}), **{name: _row(name, found) for name, found in known.items()}}
    outcomes = {name: row.rpartition(" | ")[2].removesuffix(" |") for name, row in rows.items()}
    counts = Counter(result.partition(":")[0] for result in outcomes.values())
    total = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    wrong = [name for name, result in outcomes.items() if result.startswith("wrong")]
    share = 100 * len(wrong) / max(1, len(rows))
    return "\n".join(
        [
            f"{len(rows)} classes: {total}.",
            f"Neither right nor refused: {', '.join(wrong) or 'none'} ({share:.1f} %).",
            *_sources(known, len(rows)),
            "",
            "| model type | stack | layers | parts | logits | steps | LoRA | plan | outcome |",
            "|---|---|---:|---|---|---|---:|---|---|",
            *(rows[name] for name in sorted(rows)),
        ]
    )


def _sources(known: dict[str, Found], num_rows: int) -> list[str]:
    """What the rows were made with, from the findings themselves."""
    made: defaultdict[str, int] = defaultdict(int)
    for found in known.values():
        made[found.get("with", "versions that were not noted")] += 1
    lines = [f"{number} rows with {versions}." for versions, number in made.items()]
    if older := num_rows - len(known):
        lines.append(f"{older} rows are of an earlier state of the package.")
    return lines


def _row(name: str, found: Found) -> str:
    model = found.get("model")
    if isinstance(model, dict):
        parts = ", ".join(f"{part} {size:,}" for part, size in model["parts"].items())
        shape = [f"`{model['stack']}`", str(model["layers"]), parts]
    else:
        shape = ["–", "–", "–"]
    cells = [
        name,
        *shape,
        {True: "own", False: "chunked"}.get(found.get("own_logits"), "–"),  # type: ignore[call-overload]
        _both(found, STEPS),
        _reach(found),
        _both(found, PLANS),
        _short(outcome(found)),
    ]
    return f"| {' | '.join(cells)} |"


def _both(found: Found, keys: tuple[str, ...]) -> str:
    values = [str(found.get(key, "–")) for key in keys]
    return values[0] if len(set(values)) == 1 else "; ".join(map(_short, values))


def _reach(found: Found) -> str:
    reach = found.get("lora.reach", "–")
    return f"{100 * reach:.0f} %" if isinstance(reach, float) else _short(str(reach))


def _short(text: str, limit: int = 160) -> str:
    text = text.replace("|", "\\|")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def main(page: Path, *results: Path) -> None:
    known: dict[str, Found] = {}
    for file in results:
        known |= json.loads(file.read_text("utf-8"))
    text = page.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    inside, _, tail = rest.partition(END)
    rows = (line for line in inside.splitlines() if line.startswith("| "))
    before = {line.split(" | ")[0].removeprefix("| "): line for line in rows}
    before.pop("model type", None)
    made = f"{head}{BEGIN}\n\n{table(known, before)}\n\n{END}{tail}"
    page.write_text(made, "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
