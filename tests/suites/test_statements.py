"""`tables:` and `claims:` of a suite: names that it has not are told with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.schema.problems import ConfigError
from lwft_bench.schema.shipped import shipped, shipped_statements
from lwft_bench.suites.loading import load_suite

HEAD = """name: mine
models: [embedded]
methods: [fft, lisa]
tasks: [arith]
seeds: [0]
training: {steps: 3}
"""


def suite(folder: Path, more: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(HEAD + more, "utf-8")
    return str(path)


def test_they_change_no_cell(tmp_path: Path) -> None:
    plain = load_suite(suite(tmp_path, ""))
    more = (
        "tables: {one: {methods: [lisa], columns: [add-sub, average]}}\n"
        "claims: [{name: c, says: so, kind: equal_weights, of: fft, against: lisa}]\n"
    )
    stated = load_suite(suite(tmp_path, more))
    assert [stated.identity(cell) for cell in stated.cells] == [
        plain.identity(cell) for cell in plain.cells
    ]
    assert list(stated.tables) == ["one"]
    assert [claim.name for claim in stated.claims] == ["c"]


def test_every_name_is_checked(tmp_path: Path) -> None:
    path = suite(
        tmp_path,
        "tables:\n"
        "  one: {methods: [lissa], models: [embeded], columns: [ad-sub]}\n"
        "claims:\n"
        "  - {name: c, says: so, kind: accuracy_difference, of: ftt, against: lisa, above: 0}\n"
        "  - {name: d, says: so, kind: rank, of: fft, among: [lisa, lorra], at_most: 1, task: aritm}\n",
    )
    with pytest.raises(ConfigError) as error:
        load_suite(path)
    told = str(error.value)
    for wanted in (
        ":8: tables.one.methods[0]: unknown method 'lissa'",
        ":8: tables.one.models[0]: unknown model 'embeded'; did you mean 'embedded'?",
        ":8: tables.one.columns[0]: unknown column or benchmark 'ad-sub'; did you mean 'add-sub'?",
        ":10: claims[0].of: unknown method of the suite 'ftt'; did you mean 'fft'?",
        ":11: claims[1].among[1]: unknown method of the suite 'lorra'",
        ":11: claims[1].task: unknown task of the suite 'aritm'; did you mean 'arith'?",
    ):
        assert wanted in told


def test_files_of_statements_are_no_suites() -> None:
    assert "paper/claims" in shipped_statements("claims")
    assert "paper/tables" in shipped_statements("tables")
    assert not {"paper/claims", "paper/tables"} & shipped("suites").keys()
