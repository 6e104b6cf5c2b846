"""Every number in docs/findings.md, and those of runs elsewhere, are of a run which is kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lwft_bench.reporting.read.records import read_run

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "docs" / "findings.md"
PRECISION = ROOT / "docs" / "precision.md"
MODELS = ROOT / "docs" / "models.md"
SETTINGS = ("1.6 M parameters", "weight decay 0.01", "decay of 0.01 at a rate of 0.002")
"""Lines outside of markers that may have a number that looks like a result."""


@pytest.fixture(scope="module")
def evidence() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "tools" / "evidence.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [FINDINGS, PRECISION, MODELS], ids=lambda page: page.stem)
def test_numbers_are_those_of_their_runs(evidence: ModuleType, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert evidence.MARKED.search(text)
    assert evidence.filled(text) == text


def test_nothing_else_looks_like_a_result(evidence: ModuleType) -> None:
    found = evidence.unmarked(FINDINGS.read_text(encoding="utf-8"))
    assert [line for line in found if not any(known in line for known in SETTINGS)] == []


def test_another_number_is_seen(evidence: ModuleType) -> None:
    text = FINDINGS.read_text(encoding="utf-8")
    (number, *_) = [match[3] for match in evidence.MARKED.finditer(text)]
    assert evidence.filled(text.replace(number, "1.0 ± 0.1", 1)) == text
    assert evidence.unmarked("It is better by 3.1 points.\n`0.5` is code\n") == [
        "1: It is better by 3.1 points."
    ]
    assert evidence.unmarked("better by two points") and evidence.unmarked("+4 in all")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("nowhere main x average", "nowhere is in neither"),
        ("as-published nothing x average", "no table nothing"),
        ("as-published main nobody average", "names 0 rows"),
        ("as-published main misa colour", "no column 'colour'"),
    ],
)
def test_a_marker_that_names_nothing_is_refused(
    evidence: ModuleType, marker: str, message: str
) -> None:
    with pytest.raises(evidence.WrongMarker, match=message):
        evidence.filled(f"<!-- evidence: {marker} -->1<!-- end -->")


KEPT = sorted(path.parent for path in (ROOT / "reports" / "evidence").glob("*/suite.json"))


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_kept_runs_are_whole_and_small(folder: Path) -> None:
    records = read_run(folder)
    assert all(cell.done for cell in records.cells)
    assert max(path.stat().st_size for path in folder.rglob("*")) < 2**20
