"""Whether a file is of its format at all, by readers that share nothing with the package's own.

What they refuse and the package accepts without a word is a silent acceptance.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import yaml


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(map(repr, keys))):
            raise ValueError("a key stands twice")
        return super().construct_mapping(node, deep)


def _json(text: str) -> Any:
    def refused(constant: str) -> None:
        raise ValueError(constant)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    value = json.loads(text, parse_constant=refused, object_pairs_hook=once)
    json.dumps(value, ensure_ascii=False).encode()  # no lone surrogates
    return value


def _json_lines(content: bytes) -> None:
    for line in content.decode().split("\n"):
        if line.strip():
            _json(line)


def _csv(content: bytes) -> None:
    text = content.decode()
    if "\0" in text:
        raise ValueError("a null character")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    if any(row and len(row) != len(header) for row in rows):
        raise ValueError("a row of another length")


def _safetensors(content: bytes) -> None:
    (size,) = struct.unpack("<Q", content[:8])
    header = _json(content[8 : 8 + size].decode())
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if max(ends) != len(content) - 8 - size:
        raise ValueError("the tensors do not fill the file")


READERS: dict[str, Callable[[bytes], object]] = {
    "yaml": lambda content: yaml.load(content.decode(), StrictLoader),
    "py": lambda content: compile(content.decode(), "plugin", "exec"),
    "json": lambda content: _json(content.decode()),
    "jsonl": _json_lines,
    "csv": _csv,
    "gz": lambda content: _json_lines(gzip.decompress(content)),
    "safetensors": _safetensors,
    "parquet": lambda content: pyarrow.parquet.read_table(io.BytesIO(content)).validate(full=True),
    "arrow": lambda content: pyarrow.ipc.open_file(content).read_all().validate(full=True),
}


def is_sound(path: Path, content: bytes) -> bool:
    """Whether the content is of the format that the file's name says."""
    try:
        READERS[path.suffix[1:]](content)
    except Exception:
        return False
    return True
