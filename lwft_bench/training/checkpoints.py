"""A checkpoint: a folder that appears whole or not at all, safe to load.

checkpoint-<number>/
    tensors.safetensors     changed weights, optimizer state, torch's random state
    checkpoint.json         everything else
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lwft_bench.results.atomic import publish_folder

PREFIX = "checkpoint-"
ARRAY = "__array__"


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
    target = folder / f"{PREFIX}{number:06d}"
    shutil.rmtree(target, ignore_errors=True)
    publish_folder(temporary, target)
    for older in _complete(folder)[:-1]:
        shutil.rmtree(older)


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest complete checkpoint in the folder, if any."""
    found = _complete(folder)
    if not found:
        return None
    values = json.loads((found[-1] / "checkpoint.json").read_text(encoding="utf-8"))
    return Checkpoint(load_file(found[-1] / "tensors.safetensors"), _from_json(values))


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
