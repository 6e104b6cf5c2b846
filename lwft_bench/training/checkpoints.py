"""A checkpoint: a folder that appears whole or not at all, safe to load.

checkpoint-<number>/
    tensors.safetensors     changed weights, optimizer state, torch's random state
    tensors-<rank>.safetensors  the same of other processes, where they share out the model
    checkpoint.json         everything else that does not grow with the steps
    sha256.json             of these two, and of the rows that there were
trace.jsonl                 the rows of all steps, each written once

The last two are kept, so that there is one to go on from when the newest is damaged.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lwft_bench.results.atomic import publish_folder
from lwft_bench.results.store import TRACE
from lwft_bench.schema.errors import UserError, described
from lwft_bench.training.appended import AppendedFile, Mark
from lwft_bench.training.ranks import ALONE, Ranks

PREFIX = "checkpoint-"
ARRAY = "__array__"
FILES = ("tensors.safetensors", "checkpoint.json")
SUMS = "sha256.json"
_OF_OTHERS = re.compile(r"tensors-[0-9]+\.safetensors")
KEPT = 2


Rows = Sequence[tuple[str, Any]]
"""Of one kind or another: its name, and a value that is JSON-able but for numpy arrays."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """tensors: by name, on the CPU. values: JSON-able but for numpy arrays. rows: what was added since
    the checkpoint before; of a loaded one all there are.
    """

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]
    rows: Rows = ()


class Checkpoints:
    """Those of one cell, in its work folder.

    Where ranks share out the model, each has tensors of its own: all of them save, and the first one
    publishes.
    """

    def __init__(self, folder: Path, shards: Ranks = ALONE) -> None:
        self._folder = folder
        self._shards = shards
        self._rows = AppendedFile(folder / TRACE)

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Writes `checkpoint-<number>`, and removes older ones once it stands, and newer ones that
        were passed over.
        """
        temporary = self._folder / f".{PREFIX}tmp"
        if self._shards.rank == 0:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        self._shards.barrier()
        tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
        save_file(tensors, temporary / _file_of(self._shards.rank))
        self._shards.barrier()
        if self._shards.rank == 0:
            self._publish(temporary, number, checkpoint)

    def _publish(self, temporary: Path, number: int, checkpoint: Checkpoint) -> None:
        mark = self._rows.append(
            json.dumps([kind, _to_json(value)]) for kind, value in checkpoint.rows
        )
        text = json.dumps(_to_json(checkpoint.values))
        (temporary / "checkpoint.json").write_text(text, encoding="utf-8")
        sums = {name: _sha256(temporary / name) for name in self._files} | {TRACE: asdict(mark)}
        (temporary / SUMS).write_text(json.dumps(sums), encoding="utf-8")
        target = self._folder / f"{PREFIX}{number:06d}"
        shutil.rmtree(target, ignore_errors=True)
        publish_folder(temporary, target)
        every = self._complete()
        kept = every[: every.index(target) + 1][-KEPT:]
        for other in every:
            if other not in kept:
                shutil.rmtree(other)

    def load_latest(self, passed_over: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is as it was written, if any. The next one goes on from it.

        Args:
            passed_over: Is told of each newer one that is damaged, and how.
        """
        for path in reversed(self._complete()):
            try:
                lines = self._lines(path)
            except _Damaged as damage:
                passed_over(f"{path.name} is damaged ({damage}) and passed over")
                continue
            values = _from_json(json.loads((path / "checkpoint.json").read_text(encoding="utf-8")))
            rows = [(kind, _from_json(value)) for kind, value in map(json.loads, lines)]
            own = path / _file_of(self._shards.rank)
            tensors = load_file(own) if own.exists() else {}  # begun by fewer: they are refused
            return Checkpoint(tensors, values, rows)
        return None

    def _lines(self, path: Path) -> list[str]:
        """The lines of a checkpoint's rows.

        Raises:
            _Damaged: Something is not as it was written.
        """
        try:
            sums = json.loads((path / SUMS).read_text(encoding="utf-8"))
            files = [*FILES, *(name for name in sums if _OF_OTHERS.fullmatch(str(name)))]
            expected, mark = {name: sums[name] for name in files}, Mark(**sums[TRACE])
            for name in files:
                if _sha256(path / name) != expected[name]:
                    raise _Damaged(f"{name} has another checksum than {SUMS} says")
        except OSError as error:
            raise _Damaged(f"{Path(error.filename or SUMS).name}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            found = described(error)
            raise _Damaged(f"{SUMS} holds no checksums: {found}") from None
        try:
            return self._rows.go_on_from(mark)
        except (UserError, ValueError, TypeError) as error:
            raise _Damaged(f"by {SUMS}, {error}") from None

    @property
    def _files(self) -> list[str]:
        """Of a checkpoint, apart from their checksums."""
        return [*FILES, *(_file_of(rank) for rank in range(1, self._shards.world))]

    def _complete(self) -> list[Path]:
        found = self._folder.glob(f"{PREFIX}[0-9]*")
        return sorted(found, key=lambda path: (len(path.name), path.name))


class _Damaged(Exception):
    pass


def _file_of(rank: int) -> str:
    return f"tensors-{rank}.safetensors" if rank else "tensors.safetensors"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
