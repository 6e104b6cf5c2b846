"""Data as people have it: what is read, what is left out and counted, what is refused, and where."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from lwft_bench.data.forms import Instruction, alpaca, chat
from lwft_bench.data.row_files import read_own_rows, read_rows
from lwft_bench.data.sources import load_examples
from lwft_bench.schema import regular_files
from lwft_bench.schema.cell import TaskConfig
from lwft_bench.schema.errors import UserError

ROWS = [{"instruction": f"Name {n}", "output": f"N{n}"} for n in range(4)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def asked(path: Path) -> list[str]:
    return [row.instruction for row in read_rows(path, alpaca)]


def arrow_file(path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)


def arrow_stream(path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)


READ = {
    "mark.jsonl": (BOM + LINES).encode(),
    "mark.json": (BOM + json.dumps(ROWS)).encode(),
    "wrapped.json": json.dumps({"version": 2, "data": ROWS}).encode(),
    "indented.json": json.dumps({"data": ROWS, "licence": {"name": "own"}}, indent=1).encode(),
    "lines.ndjson": LINES.encode(),
    "lines.json": LINES.encode(),
    "LOUD.JSONL": LINES.encode(),
    "packed.jsonl.gz": gzip.compress(LINES.encode()),
    "packed.JSON.GZ": gzip.compress(json.dumps(ROWS).encode()),
    "tabs.tsv": b"instruction\toutput\n" + b"".join(b"Name %d\tN%d\n" % (n, n) for n in range(4)),
    "pandas.csv": b",instruction,output\n"
    + b"".join(b"%d,Name %d,N%d\n" % (n, n, n) for n in range(4)),
    "windows.csv": b"instruction,output\r\n"
    + "".join(f'"Name {n}",N{n}\r\n' for n in range(4)).encode(),
}


@pytest.mark.parametrize("name", READ)
def test_files_as_people_have_them_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name])
    assert asked(tmp_path / name) == [row["instruction"] for row in ROWS]


@pytest.mark.parametrize("write", [arrow_file, arrow_stream])
def test_both_of_arrow_s_formats_are_read(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "a.arrow")
    assert asked(tmp_path / "a.arrow") == [row["instruction"] for row in ROWS]


def test_a_field_of_csv_may_have_lines_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('instruction,output\n"two\nlines",a\nb\n', "utf-8")
    with pytest.raises(UserError, match=r"a.csv:4: expected 2 fields as in the header, found 1"):
        asked(tmp_path / "a.csv")


def test_a_field_of_csv_may_be_a_book(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f'instruction,output\n"{"word " * 50_000}",a\n', "utf-8")
    (text,) = asked(tmp_path / "a.csv")
    assert len(text) == 250_000
    assert csv.field_size_limit() == limit


def test_a_quote_that_is_never_closed_is_told_with_the_row_it_began_in(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('instruction,output\na,b\n"c,d\n' + "e,f\n" * 9, "utf-8")
    with pytest.raises(UserError, match="a.csv:12: not CSV: .*in a row that began in line 3"):
        asked(tmp_path / "a.csv")


def test_a_name_that_says_nothing_is_told_with_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("instruction;output\na;b\n", "utf-8")
    with pytest.raises(UserError, match=r"a.txt:1: not JSON") as told:
        read_own_rows(tmp_path / "a.txt", alpaca)
    assert "a.txt was read as JSON lines, since it ends in none of .json, " in str(told.value.hint)


def read(row: dict[str, Any], tmp_path: Path) -> Instruction:
    (tmp_path / "one.jsonl").write_text(json.dumps(row), "utf-8")
    return read_rows(tmp_path / "one.jsonl", alpaca)[0]


def test_null_numbers_conversations_and_parts(tmp_path: Path) -> None:
    row = {"instruction": "2 + 2", "input": None, "output": "four", "answer": 4}
    assert read(row, tmp_path) == Instruction("2 + 2", "four", "4")
    said = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello"},
    ]
    found = read({"id": 7, "conversations": said}, tmp_path)
    assert (found.output, found.messages) == ("Hello", (("system", "Be brief."), ("user", "Hi")))
    parts = [{"type": "text", "text": "Who "}, {"type": "text", "text": "is it?"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "Me"}]
    assert read({"messages": messages}, tmp_path) == Instruction("Who is it?", "Me")


def test_a_part_that_is_no_text_is_refused(tmp_path: Path) -> None:
    parts = [{"type": "image", "image": "a.png"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "Me"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}), "utf-8")
    with pytest.raises(UserError, match=r'a.jsonl:1: content.type: expected text alone, found "im'):
        read_rows(tmp_path / "a.jsonl", chat)


LIST = json.dumps(ROWS, indent=1)
REFUSED = {
    "two lists": (f"{LIST}\n{LIST}", r":19: the document ends before this line, and another list"),
    "text behind": (f"{LIST}\nend", r":19: the document ends before this line, and more text"),
    "no comma": (LIST.replace("},", "}", 1), r":6: not JSON: expected ',', found '\{'"),
    "a key twice": (LIST.replace('"output"', '"instruction"', 1), r':2: the key "instruction" st'),
    "a key twice, deep": ('{"a": [{"b": 1, "b": 1}]}', r':1: the key "b" stands twice in one object'),
    "two commas": (LIST.replace("},", "},,", 1), r":5: not JSON: Expecting value"),
    "cut": (LIST[:-2], r":17: not JSON: the file ends where ',' is expected"),
    "one line": ('[{"instruction": "a", "output": "b"}, 3]', r":1: row 2: expected an object, found 3"),
    "no list": ('{"a": 1,\n "rows": []}', r"under 'data'; found an object with the keys 'a', 'rows'"),
    "half a character": (r'[{"instruction": "a \ud83d b"}]', r":1: instruction: .*\\ud83d"),
    "digits": ('{"output": %s}' % ("9" * 5000), r":1: a number of thousands of digits"),
    "digits in a list": ('[{"output":\n%s}]' % ("9" * 5000), r":1: a number of thousands of digits"),
    "depth": ('{"instruction": %s' % ("[" * 100_000), r":1: nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_said_with_its_place(tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    (tmp_path / "a.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"a\.json.*" + message) as raised:
        asked(tmp_path / "a.json")
    raised.value.message.encode()  # can be printed


def test_limits_hold_before_anything_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regular_files, "MAX_TEXT_BYTES", 1000)
    (tmp_path / "a.jsonl").write_text("x" * 1001, "utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"[" * 100_000))
    os.mkfifo(tmp_path / "c.jsonl")
    os.mkfifo(tmp_path / "d.parquet")
    for name, reason in {
        "a.jsonl": "larger than",
        "b.jsonl.gz": "larger than .* once unpacked",
        "c.jsonl": "expected a file, found a pipe",
        "d.parquet": "expected a file, found a pipe",
    }.items():
        with pytest.raises(UserError, match=f"{name}: cannot be read: {reason}"):
            asked(tmp_path / name)


def test_text_that_is_none_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode() + b"\xff\n")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(LINES.encode())[:-20])
    with pytest.raises(UserError, match=r"a.jsonl:5: cannot be read: not UTF-8"):
        asked(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"b.json.gz: cannot be read: not a whole gzip"):
        asked(tmp_path / "b.json.gz")


@pytest.mark.parametrize("data", ["instructions", "jsonl"])
@pytest.mark.parametrize("empty", ["", " \n", None])
def test_rows_with_an_empty_target_are_left_out_and_counted(
    tmp_path: Path, data: str, empty: str | None
) -> None:
    names = ("instruction", "output") if data == "instructions" else ("prompt", "target")
    texts = [("Q1", "A1"), ("Q2", empty or ""), ("Q3", "A3")]
    rows = [dict(zip(names, row, strict=True)) for row in texts]
    if empty is None and data == "instructions":
        rows[1]["output"] = None  # type: ignore[assignment]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")
    task = TaskConfig(
        name="own",
        data=data,
        data_options={"train": str(tmp_path / "a.json")},
        train_examples=2,
        validation_examples=0,
        benchmarks=(),
    )
    found = load_examples(task)
    assert [example.prompt.count("Q2") for example in found.train] == [0, 0]
    assert (found.num_empty, found.num_read) == (1, 3)
    (tmp_path / "a.json").write_text(json.dumps(rows[1:2]), "utf-8")
    with pytest.raises(UserError, match=r"has 0 examples \(1 more rows have an empty target\)"):
        load_examples(task)
