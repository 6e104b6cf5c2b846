from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lwft_bench.data.forms import alpaca
from lwft_bench.data.row_files import read_rows
from lwft_bench.schema.errors import UserError

ROWS = [{"instruction": f"Q{n}", "input": "", "output": f"A{n}"} for n in range(3)]
LIST = """[
  {"instruction": "Q0", "output": "A0"},
  {"instruction": "Q1",
   "output": "A1"},
  {"instruction": "Q2", "output": "A2"}
]
"""


def questions(path: Path) -> list[str]:
    return [row.instruction for row in read_rows(path, alpaca)]


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(LIST, "utf-8")
    lines = '{"instruction": "Q0", "output": "A"}\n\n{"instruction": "Q1", "output": "A"}\n'
    (tmp_path / "b.jsonl").write_text(lines, "utf-8")
    (tmp_path / "c.json").write_text(lines, "utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    for name, count in (("a.json", 3), ("b.jsonl", 2), ("c.json", 2), ("d.parquet", 3)):
        assert questions(tmp_path / name) == [f"Q{n}" for n in range(count)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", LIST.replace('"output": "A2"', '"out": "A2"'), r"a.json:5: no field 'output'"),
        ("a.json", LIST.replace('"A1"', "7"), r"a.json:3: output: expected a text, found 7"),
        ("a.json", LIST.replace('"A1"}', '"A1"'), r"a.json:5: not JSON"),
        ("a.json", LIST.rstrip("]\n"), r"a.json:5: not JSON"),
        ("a.json", "[1]", r"a.json:1: expected an object, found 1"),
        ("a.jsonl", '{"instruction": "Q", "output": "A"}\n{"ins', r"a.jsonl:2: not JSON"),
        ("a.csv", "instruction,output\nQ,A\nQ\0,A\n", r"a.csv:3: a null character"),
        ("a.json", "[]", r"a.json has no rows"),
        ("a.jsonl", "\n", r"a.jsonl has no rows"),
        ("a.parquet", "x", r"a.parquet: cannot be read"),
        ("a.txt", "x", r"expected a file that ends in .json, .jsonl"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UserError, match=message):
        questions(tmp_path / name)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    for name in ("gone.json", "gone.jsonl", "gone.parquet"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read"):
            questions(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "b.jsonl"])
def test_digits_in_quotes_stay_a_text_beside_numbers(tmp_path: Path, name: str) -> None:
    """`datasets` 5.2 reads "007" of such a column as the number 7."""
    rows = [{"answer": "007"}, {"answer": 7}, {"answer": "1.50"}]
    text = json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(text, "utf-8")
    assert read_rows(tmp_path / name, lambda row: row.fields["answer"]) == ["007", 7, "1.50"]
