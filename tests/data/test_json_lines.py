from __future__ import annotations

from pathlib import Path

import pytest

from lwft_bench.data.json_lines import read_json_lines
from lwft_bench.schema.errors import UserError


def test_every_problem_is_located(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"q": "a"}\n\n{"q": 3}\n{"q": "b"\n["c"]\n{"p": "d"}\n', "utf-8")
    with pytest.raises(UserError) as raised:
        read_json_lines(path, lambda row: row.text("q"))
    assert raised.value.message.splitlines() == [
        f"{path}:3: q: expected a text, found 3",
        f"{path}:4: not JSON: Expecting ',' delimiter (column 10)",
        f'{path}:5: expected an object, found ["c"]',
        f"{path}:6: no field 'q'; there are 'p'",
    ]


def test_many_problems_are_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("1\n" * 30, "utf-8")
    with pytest.raises(UserError, match="and 20 more lines") as raised:
        read_json_lines(path, lambda row: row.text("q"))
    assert len(raised.value.message.splitlines()) == 11


def test_blank_lines_and_unusual_line_separators_are_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"q": "a\u2028b"}\r\n\n{"q": "c"}', "utf-8")
    assert read_json_lines(path, lambda row: (row.number, row.text("q"))) == [
        (1, "a\u2028b"),
        (3, "c"),
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.jsonl: cannot be read"):
        read_json_lines(tmp_path / "nowhere.jsonl", lambda row: row)
