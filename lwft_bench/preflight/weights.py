"""Whether a model's weight files are whole, from their headers: nothing of the weights is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from lwft_bench.models.sources import model_folder
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
}
"""Of an element, by dtype. Others are left to the library."""

_CUT = "Was a download or copy cut short, or is it a git-lfs pointer (`git lfs pull`)?"


_LAYER = re.compile(r"^(.*?(?:^|\.)(?:layers|layer|blocks|h))\.(\d+)\.")
_TOWER = re.compile("vision|visual|image|audio|speech|encoder")
"""In names of layers that are not of the language model."""


def check_weights(config: ModelConfig) -> set[str]:
    """The names of all tensors.

    Raises:
        UserError: a file is cut or damaged, or one that an index names is not there.
    """
    if config.path is None:
        return set()
    folder = model_folder(config)
    index = folder / "model.safetensors.index.json"
    found = {file.name: _tensors(config, file) for file in sorted(folder.glob("*.safetensors"))}
    names = set().union(*found.values())
    if not index.is_file():
        return names
    for tensor, name in _weight_map(config, index).items():
        if name not in found:
            raise UserError(
                f"model {config.name}: {index} places {tensor} in {name}, which is not in the folder",
                _CUT,
            )
        if tensor not in found[name]:
            raise UserError(
                f"model {config.name}: {index} places {tensor} in {name}, which has no such tensor"
            )
    return names


def num_layers_of(names: Iterable[str]) -> int:
    """How many decoder layers tensors of these names are of; 0 where their names do not say."""
    layers = [found for name in names if (found := _LAYER.match(name))]
    numbers = [int(found[2]) for found in layers if not _TOWER.search(found[1])]
    return max(numbers, default=-1) + 1


def _weight_map(config: ModelConfig, index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(tensor): str(name) for tensor, name in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"model {config.name}: {index} is no index of weights: {error}") from None


def _tensors(config: ModelConfig, file: Path) -> set[str]:
    """The names of a file's tensors, whose bytes are all there."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise _damaged(config, file, "it has no header, or not all of it")
        try:
            header = json.loads(stream.read(length))
            tensors = {name: each for name, each in header.items() if name != "__metadata__"}
            end = max((_end(name, each) for name, each in tensors.items()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(config, file, f"its header cannot be read: {str(error)[:80]}") from None
    if 8 + length + end != size:
        raise _damaged(
            config, file, f"its header speaks of {8 + length + end:,} bytes, of {size:,}"
        )
    return set(tensors)


def _end(name: str, tensor: dict[str, Any]) -> int:
    """Where a tensor's bytes end.

    Raises:
        ValueError: they are not as many as its shape asks for.
    """
    start, end = map(int, tensor["data_offsets"])
    bits = BITS.get(tensor["dtype"])
    if not 0 <= start <= end:
        raise ValueError(f"{name} ends before it begins")
    if bits is not None and prod(tensor["shape"]) * bits != 8 * (end - start):
        raise ValueError(f"{name} has another number of bytes than its shape")
    return end


def _damaged(config: ModelConfig, file: Path, why: str) -> UserError:
    return UserError(f"model {config.name}: {file} is cut or damaged: {why}", _CUT)
