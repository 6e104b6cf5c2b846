"""The committed examples: what they say is what their recorded files give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from built import comparison_tables

from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.render.markdown import to_markdown
from lwft_bench.reporting.render.table import Table
from lwft_bench.reporting.summary import summary

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "reports" / "examples"


@pytest.fixture(scope="module", params=["arith", "smollm2"])
def example(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Table], str]:
    folder = EXAMPLES / request.param
    records = read_run(folder)
    comparisons = compare(records)
    tables = comparison_tables(records, comparisons[0])
    return folder, tables, summary(records, comparisons)


def test_their_reports_are_those_of_their_files(
    example: tuple[Path, dict[str, Table], str],
) -> None:
    folder, tables, text = example
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert text in report
    for name, table in tables.items():
        kept = (folder / "tables" / f"{name}.md").read_text(encoding="utf-8")
        assert to_markdown(table) in kept, name


def test_the_readmes_table_and_claims_are_the_examples(
    example: tuple[Path, dict[str, Table], str],
) -> None:
    folder, tables, _ = example
    if folder.name != "arith":
        return
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = tables["main"].display.set_index("method")
    head = next(line for line in readme.splitlines() if line.startswith("| method | average"))
    columns = [cell.strip() for cell in head.strip("|").split("|")][1:]
    for method, row in shown.iterrows():
        assert f"| {method} | {' | '.join(row[columns])} |" in readme
    report = (folder / "report.md").read_text(encoding="utf-8")
    claims = re.findall(r"[+−]\d+\.\d \[[^\]]*\]", readme.partition("What this shows")[2])
    assert len(claims) == 2
    assert all(claim in report for claim in claims)
