"""Checkpoints that are not as they were written are passed over, and rows are written once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lwft_bench.training.checkpoints import Checkpoint, Checkpoints


def checkpoint(number: int) -> Checkpoint:
    values = {"number": number, "table": np.array([1.5])}
    rows = [("steps", {"step": number, "loss": 0.1 * number})]
    return Checkpoint({"weight": torch.full((64,), number * 1.0)}, values, rows)


def written(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    for number in (1, 2, 3):
        checkpoints.save(number, checkpoint(number))


def steps(found: Checkpoint | None) -> list[int]:
    assert found is not None
    return [row["step"] for _, row in found.rows]


def loaded(folder: Path) -> tuple[int | None, list[str]]:
    told: list[str] = []
    found = Checkpoints(folder).load_latest(told.append)
    return (None if found is None else found.values["number"]), told


def test_the_last_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    written(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000002", "checkpoint-000003", "trace.jsonl"]
    assert loaded(tmp_path) == (3, [])


@pytest.mark.parametrize("file", ["tensors.safetensors", "checkpoint.json", "sha256.json"])
def test_one_bit_is_enough_to_be_passed_over(tmp_path: Path, file: str) -> None:
    written(tmp_path)
    path = tmp_path / "checkpoint-000003" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    number, (told,) = loaded(tmp_path)
    assert number == 2
    assert told.startswith("checkpoint-000003 is damaged (")


@pytest.mark.parametrize("sums", ["", "[" * 100_000, "[]", "{}", "null", '{"checkpoint.json": 1}'])
def test_whatever_stands_for_the_checksums(tmp_path: Path, sums: str) -> None:
    written(tmp_path)
    (tmp_path / "checkpoint-000003" / "sha256.json").write_text(sums)
    number, (told,) = loaded(tmp_path)
    assert number == 2
    assert told.startswith("checkpoint-000003 is damaged (") and "sha256.json" in told


@pytest.mark.parametrize("file", ["tensors.safetensors", "checkpoint.json", "sha256.json"])
def test_so_is_one_that_is_cut_or_lacks_a_file(tmp_path: Path, file: str) -> None:
    written(tmp_path)
    path = tmp_path / "checkpoint-000003" / file
    path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / "checkpoint-000002" / file).unlink()
    number, told = loaded(tmp_path)
    assert number is None and len(told) == 2
    written(tmp_path)
    assert loaded(tmp_path) == (3, [])


def test_a_checkpoint_is_as_large_after_many_steps_as_after_few(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    sizes = []
    for number in range(1, 400):
        checkpoints.save(number, checkpoint(number))
        if number in (101, 399):  # of as many digits
            folder = tmp_path / f"checkpoint-{number:06d}"
            sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
    assert abs(sizes[1] - sizes[0]) < 10
    assert (tmp_path / "trace.jsonl").read_text().count("\n") == 399
    assert steps(Checkpoints(tmp_path).load_latest(pytest.fail)) == list(range(1, 400))


def test_rows_keep_every_bit_and_what_json_cannot_say(tmp_path: Path) -> None:
    table = np.array([0.1, np.nan, -np.inf], dtype=np.float32)
    Checkpoints(tmp_path).save(1, Checkpoint({}, {}, [("windows", (table, 1 / 3))]))
    found = Checkpoints(tmp_path).load_latest(pytest.fail)
    assert found is not None
    ((kind, (again, third)),) = found.rows
    assert kind == "windows" and third == 1 / 3
    assert again.dtype == np.float32 and again.tobytes() == table.tobytes()


def test_rows_of_a_process_that_died_before_its_checkpoint_stood_are_cut_off(
    tmp_path: Path,
) -> None:
    written(tmp_path)
    with (tmp_path / "trace.jsonl").open("a") as file:
        file.write('["steps", {"step": 4, "lo')
    checkpoints = Checkpoints(tmp_path)
    assert steps(checkpoints.load_latest(pytest.fail)) == [1, 2, 3]
    checkpoints.save(5, checkpoint(5))
    assert steps(Checkpoints(tmp_path).load_latest(pytest.fail)) == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("at", "number"), [(-2, 2), (0, None)], ids=["in the last row", "in the first row"]
)
def test_damaged_rows_cost_the_checkpoints_that_have_them(
    tmp_path: Path, at: int, number: int | None
) -> None:
    written(tmp_path)
    path = tmp_path / "trace.jsonl"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    found, told = loaded(tmp_path)
    assert found == number
    assert told[0].startswith("checkpoint-000003 is damaged (by sha256.json, the first ")
    assert "trace.jsonl are not those that it was made with" in told[0]


@pytest.mark.parametrize("how", ["gone", "a link", "a folder"])
def test_without_its_rows_no_checkpoint_is_taken(tmp_path: Path, how: str) -> None:
    written(tmp_path / "cell")
    path, elsewhere = tmp_path / "cell" / "trace.jsonl", tmp_path / "elsewhere"
    path.rename(elsewhere)
    if how == "a link":
        path.symlink_to(elsewhere)
    if how == "a folder":
        path.mkdir()
    before = elsewhere.read_bytes()
    checkpoints, told = Checkpoints(tmp_path / "cell"), list[str]()
    assert checkpoints.load_latest(told.append) is None
    assert len(told) == 2 and all("trace.jsonl: cannot be read" in text for text in told)
    if how != "a folder":
        checkpoints.save(1, checkpoint(1))  # begins anew, and writes through no link
        assert loaded(tmp_path / "cell") == (1, [])
        assert elsewhere.read_bytes() == before


def test_begun_anew_the_first_checkpoint_stays_though_damaged_ones_have_higher_numbers(
    tmp_path: Path,
) -> None:
    written(tmp_path)
    for path in tmp_path.glob("checkpoint-*"):
        (path / "checkpoint.json").write_text("{}")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_latest(lambda _: None) is None
    checkpoints.save(1, checkpoint(1))
    assert loaded(tmp_path) == (1, [])
    assert sorted(path.name for path in tmp_path.glob("c*")) == ["checkpoint-000001"]


def test_numbers_are_put_in_order_as_numbers(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in (999_999, 1_000_000):
        checkpoints.save(number, checkpoint(number))
    assert loaded(tmp_path) == (1_000_000, [])


def test_a_checkpoint_of_before_rows_were_written_apart_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "trace.jsonl").unlink()
    for path in tmp_path.glob("checkpoint-*/sha256.json"):
        sums = json.loads(path.read_text())
        del sums["trace.jsonl"]
        path.write_text(json.dumps(sums))
    number, told = loaded(tmp_path)
    assert number is None
    assert all("trace.jsonl" in text for text in told)
