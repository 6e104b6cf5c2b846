"""Puts numbers of committed runs into a page: between a marker that names them and its end.

    python tools/evidence.py docs/findings.md           # writes the numbers anew
    python tools/evidence.py --check docs/findings.md   # exit code 1 if any is not that of its run

A marker is a comment, which a reader of the page does not see. `RUN` is a folder of reports/evidence/ or
reports/examples/, `TABLE` a table of its report (as `lwft-bench table RUN --table TABLE` prints it; of
several models and tasks with `--MODEL--TASK` after it), a row is named by its first column, or by its
first two with a comma between them:

    <!-- evidence: RUN TABLE ROW COLUMN -->+3.7 [+0.1, +7.3]<!-- end -->

    <!-- evidence: RUN TABLE -->      or with columns="a, b" rows="x, y" as=a,c
    | ... |
    <!-- end -->

    <!-- evidence: RUN loss ONE OTHER -->

The last is the validation loss of ONE minus that of OTHER, paired by seed, with Student's 95 % interval.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pandas as pd

from lwft_bench.reporting.numbers.context import Context
from lwft_bench.reporting.numbers.estimates import CONFIDENCE
from lwft_bench.reporting.numbers.statistics import mean_over_seeds
from lwft_bench.reporting.numbers.student import student_quantile
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.formatting import BEST
from lwft_bench.reporting.render.markdown import to_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.sections import TABLE_NAMES, tables_named

ROOT = Path(__file__).parents[1]
PLACES = (ROOT / "reports" / "evidence", ROOT / "reports" / "examples")
MARKED = re.compile(r"(<!-- evidence: (.*?) -->)(.*?)(<!-- end -->)", re.DOTALL)
OPTION = re.compile("(columns|rows|as)=")
NUMBER = re.compile(
    r"[+−±]\s?\d|\d\.\d|\d\s?(%|points?\b)|\b(one|two|three|four|five|six|seven|eight|nine|ten) points?"
)
"""What a run says, and a page may not say without a marker."""


class WrongMarker(ValueError):
    """A marker that names nothing."""


def filled(text: str) -> str:
    """The page with the numbers that its markers name."""
    return MARKED.sub(lambda found: f"{found[1]}{_named(found[2])}{found[4]}", text)


def unmarked(text: str) -> list[str]:
    """Lines that have numbers outside of markers and of code, each with its number."""
    bare = re.sub(r"```.*?```|`[^`\n]*`|95 %", "", MARKED.sub("", text), flags=re.DOTALL)
    lines = enumerate(bare.splitlines(), 1)
    return [f"{number}: {line}" for number, line in lines if NUMBER.search(line)]


def _named(marker: str) -> str:
    words = shlex.split(marker)
    options = dict(word.split("=", 1) for word in words if OPTION.match(word))
    run, table, *place = [word for word in words if not OPTION.match(word)]
    if table == "loss":
        return _loss(run, *place)
    display = _display(run, table)
    if place:
        row, column = place
        found = _row(display, row)
        if column not in display:
            raise WrongMarker(f"{marker}: no column {column!r} among {list(display)}")
        return str(found[column]).removesuffix(BEST)
    if "rows" in options:
        rows = [_row(display, name) for name in _names(options["rows"])]
        display = pd.DataFrame(rows, columns=display.columns)
    if "columns" in options:
        display = display[_names(options["columns"])]
    if "as" in options:
        display = display.set_axis(_names(options["as"]), axis="columns")
    return f"\n{to_markdown(Table(table, '', display, display))}"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _row(display: pd.DataFrame, name: str) -> pd.Series:
    wanted = _names(name)
    found = display[(display.iloc[:, : len(wanted)] == wanted).all(axis="columns")]
    if len(found) != 1:
        first = display.iloc[:, : len(wanted)].to_numpy().tolist()
        raise WrongMarker(f"{name!r} names {len(found)} rows of {first}")
    return found.iloc[0]


def _loss(run: str, one: str, other: str) -> str:
    """Of runs of one model and task."""
    (comparison,) = _context(run).comparisons
    losses = {
        row.label: {
            result.seed: result.training.validation_loss_after
            for result in row.results
            if result.training and result.training.validation_loss_after is not None
        }
        for row in comparison.rows
    }
    shared = sorted(losses[one].keys() & losses[other].keys())
    found = mean_over_seeds([losses[one][seed] - losses[other][seed] for seed in shared])
    half = student_quantile(CONFIDENCE, len(shared) - 1) * found.stderr
    mean, low, high = (
        f"{value:+.4f}".replace("-", "−")
        for value in (found.mean, found.mean - half, found.mean + half)
    )
    return f"{mean} [{low}, {high}]"


@cache
def _context(run: str) -> Context:
    for place in PLACES:
        if (place / run).is_dir():
            return Context.of(read_run(place / run))
    raise WrongMarker(f"{run} is in neither of {', '.join(map(str, PLACES))}")


@cache
def _display(run: str, table: str) -> pd.DataFrame:
    name = table.partition("--")[0]
    tables = tables_named(name, _context(run)) if name in TABLE_NAMES else []
    for found in tables:
        if found.name == table:
            return found.display
    raise WrongMarker(f"{run} has no table {table}: {[one.name for one in tables]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="Change nothing.")
    arguments = parser.parse_args()
    different = []
    for page in arguments.pages:
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            different.append(page)
            if not arguments.check:
                page.write_text(filled(text), encoding="utf-8")
    if different:
        print(*different, "changed" if not arguments.check else "is not what its runs say")
    sys.exit(bool(different) and arguments.check)


if __name__ == "__main__":
    main()
