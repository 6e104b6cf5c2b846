"""Checkpoints that are not as they were written are passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lwft_bench.training.checkpoints import Checkpoint, load_latest, save


def written(folder: Path) -> None:
    for number in (1, 2, 3):
        values = {"number": number, "table": np.array([1.5])}
        save(folder, number, Checkpoint({"weight": torch.full((64,), number * 1.0)}, values))


def loaded(folder: Path) -> tuple[int | None, list[str]]:
    told: list[str] = []
    found = load_latest(folder, told.append)
    return (None if found is None else found.values["number"]), told


def test_the_last_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    written(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000002", "checkpoint-000003"]
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
