from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from lwft_bench.schema.documents import parse_document, read_document, shown_path
from lwft_bench.schema.problems import ConfigError
from lwft_bench.schema.regular_files import MAX_CONFIG_BYTES


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_path_has_its_line():
    document = parse_document("a: 1\nb:\n  - c: 2\n    d: [3,\n        4]\n", "x.yaml")
    assert document.value == {"a": 1, "b": [{"c": 2, "d": [3, 4]}]}
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 0, "c"): 3,
        ("b", 0, "d"): 4,
        ("b", 0, "d", 0): 4,
        ("b", 0, "d", 1): 5,
    }
    assert document.where(("b", 0, "absent", 7)) == "x.yaml:3"


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "-2e+10", "1_0e3"])
def test_floats_need_no_point(text: str):
    assert parse_document(f"lr: {text}", "x").value == {"lr": float(text)}


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 1.5, .inf, 0x10, yes, ~, 'x', 1e, e3, 12e03x]",
        "base: &b {x: 1, y: 2}\nderived: {<<: *b, y: 3}",
        "a: |\n  text\n  more\n",
        "",
    ],
)
def test_otherwise_it_loads_as_safe_load_does(text: str):
    assert parse_document(text, "x").value == yaml.safe_load(text)


def test_merged_keys_stand_where_they_were_written():
    document = parse_document("base: &b {x: 1}\nderived:\n  <<: *b\n  y: 3\n", "x.yaml")
    assert document.where(("derived", "x")) == "x.yaml:1"
    assert document.where(("derived", "y")) == "x.yaml:4"


def test_all_repeated_keys_are_told():
    assert problems("a: 1\na: 2\nb:\n  - {c: 1, d: 2, c: 3}\n") == [
        "x.yaml:2: a: given twice: first on line 1",
        "x.yaml:4: b[0].c: given twice: first on line 4",
    ]


def test_an_alias_cannot_stand_in_itself():
    assert problems("a: &x\n  b: [*x]\n") == ["x.yaml:1: a.b[0]: an alias to what it stands in"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1,\nc: 2\n", "x.yaml:4: not YAML: "),
        (
            "a: !!python/object:os.system x\n",
            "x.yaml:1: a: a value of type python/object:os.system",
        ),
        ("a: *nowhere", "x.yaml:1: not YAML: "),
        (
            "a:\n- 'b\nc: 1\n",
            "x.yaml:4: not YAML: found unexpected end of stream while scanning a quoted scalar, which "
            "begins on line 2",
        ),
        (
            "a:\n- [b\nc: 1\n",
            "x.yaml:3: not YAML: did not find expected ',' or ']' while parsing a flow sequence, which "
            "begins on line 2",
        ),
        ("0x10: 1\n16: 2\n", "x.yaml:2: 16: given twice: first on line 1"),
        ("a: 1\n!!int x: 2\n", "x.yaml:2: not YAML: 'x' is no value of type int"),
    ],
)
def test_what_is_no_safe_yaml_is_located(text: str, expected: str):
    (problem,) = problems(text)
    assert problem.startswith(expected)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="absent.yaml: cannot be read: No such file"):
        read_document(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_document(tmp_path / "binary.yaml")


def test_paths_are_shown_from_the_working_directory(tmp_path: Path):
    assert shown_path(Path("suites/x.yaml")) == "suites/x.yaml"
    assert shown_path(tmp_path / "suites" / "x.yaml") == "suites/x.yaml"
    assert shown_path(tmp_path.parent / "x.yaml") == str(tmp_path.parent / "x.yaml")


@pytest.mark.parametrize("text", ["2001-01-01", "2024-13-45", "2024-01-01T25:00:00Z", "="])
def test_dates_are_texts(text: str):
    assert parse_document(f"a: {text}", "x").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: !!int x", "x.yaml:2: not YAML: 'x' is no value of type int"),
        ("a: !!bool 7", "x.yaml:1: not YAML: '7' is no value of type bool"),
        (f"a:\n  - {'9' * 5000}", "x.yaml:2: not YAML: '9999"),
        ("a: !!binary aGk=", "x.yaml:1: a: a value of type binary, which nothing here is"),
        ("a: !!python/object:os.system x", "x.yaml:1: a: a value of type python/object:os.system"),
        ("a: !!set {b}", "x.yaml:1: a: a value of type set"),
        ("a: !!timestamp 2001-01-01", "x.yaml:1: a: a value of type timestamp"),
        ("a: 1\nb: [1, .NaN]", "x.yaml:2: b[1]: expected a number, found one that is none"),
        ("a: 1\n? [b]\n: 2", "x.yaml:2: expected a text as key, found another type"),
        ("a:\n  {b: c}: d", "x.yaml:2: a: expected a text as key, found another type"),
        ("a: " + "[" * 70 + "]" * 70, "x.yaml:1: not YAML: more than 64 lists and mappings"),
        ("a: " + "[" * 100_000, "x.yaml:1: not YAML: more than 64 lists and mappings"),
        ("a:\n" + "- " * 100_000, "x.yaml:2: not YAML: more than 64 lists and mappings"),
        ('a: 1\nb: "\0"', "x.yaml:2: not YAML: "),
        ("\ud83d", "x.yaml: not YAML: half a character"),
    ],
)
def test_what_breaks_or_unfolds_is_told_and_not_raised(text: str, message: str):
    assert problems(text)[0].startswith(message)


def test_aliases_that_unfold_without_end_are_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 12):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    (problem,) = problems("\n".join(lines))
    assert problem == "x.yaml:5: not YAML: more than 100000 values, aliases unfolded"


def test_a_file_of_another_kind_or_size_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(
        ConfigError, match="pipe.yaml: cannot be read: expected a file, found a pipe"
    ):
        read_document(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"a" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(ConfigError, match="large.yaml: cannot be read: larger than 4 MiB"):
        read_document(tmp_path / "large.yaml")
    with pytest.raises(ConfigError, match="cannot be read: larger than|cannot be read: expected a"):
        read_document(Path("/dev/zero"))


def test_a_key_that_is_no_text_has_its_line_too():
    document = parse_document("a: 1\nb:\n  0x10: 1\n  1.50: 1\n  true: 2\n  ~: 3\n", "x.yaml")
    lines = {key: document.where(("b", key)) for key in ("16", "1.5", "true", "null")}
    assert lines == {"16": "x.yaml:3", "1.5": "x.yaml:4", "true": "x.yaml:5", "null": "x.yaml:6"}
