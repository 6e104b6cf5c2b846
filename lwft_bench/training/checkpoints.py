"""A checkpoint: a folder that appears whole or not at all, safe to load.

checkpoint-<number>/
    tensors.safetensors     changed weights, optimizer state, torch's random state
    checkpoint.json         everything else
    sha256.json             of these two

The last two are kept, so that there is one to go on from when the newest is damaged.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lwft_bench.results.atomic import publish_folder

PREFIX = "checkpoint-"
ARRAY = "__array__"
FILES = ("tensors.safetensors", "checkpoint.json")
SUMS = "sha256.json"
KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """tensors: by name, on the CPU. values: JSON-able but for numpy arrays."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


def save(folder: Path, number: int, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint-<number>` and removes older ones once it stands."""
    temporary = folder / f".{PREFIX}tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()},
        temporary / "tensors.safetensors",
    )
    text = json.dumps(_to_json(checkpoint.values))
    (temporary / "checkpoint.json").write_text(text, encoding="utf-8")
    sums = {name: _sha256(temporary / name) for name in FILES}
    (temporary / SUMS).write_text(json.dumps(sums), encoding="utf-8")
    target = folder / f"{PREFIX}{number:06d}"
    shutil.rmtree(target, ignore_errors=True)
    publish_folder(temporary, target)
    for older in _complete(folder)[:-KEPT]:
        shutil.rmtree(older)


def load_latest(folder: Path, passed_over: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint in the folder that is as it was written, if any.

    Args:
        passed_over: Is told of each newer one that is damaged, and how.
    """
    for path in reversed(_complete(folder)):
        if damage := _damage(path):
            passed_over(f"{path.name} is damaged ({damage}) and passed over")
            continue
        values = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
        return Checkpoint(load_file(path / "tensors.safetensors"), _from_json(values))
    return None


def _damage(path: Path) -> str:
    """What is not as it was written; empty if all is."""
    try:
        sums = json.loads((path / SUMS).read_text(encoding="utf-8"))
        for name in FILES:
            if _sha256(path / name) != sums[name]:
                return f"{name} has another checksum than {SUMS} says"
    except OSError as error:
        return f"{Path(error.filename or SUMS).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{SUMS} holds no checksums: {type(error).__name__}: {error}"
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}[0-9]*"))


def _to_json(value: Any) -> Any:
    match value:
        case np.ndarray():
            return {ARRAY: value.tolist(), "dtype": str(value.dtype)}
        case np.generic():
            return value.item()
        case dict():
            return {key: _to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_to_json(item) for item in value]
    return value


def _from_json(value: Any) -> Any:
    match value:
        case {"__array__": items, "dtype": dtype}:
            return np.array(items, dtype=dtype)
        case dict():
            return {key: _from_json(item) for key, item in value.items()}
        case list():
            return [_from_json(item) for item in value]
    return value
