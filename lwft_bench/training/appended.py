"""A file of lines that only grows: what checkpoints would else hold again and again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.results.atomic import open_new
from lwft_bench.schema.regular_files import MAX_TEXT_BYTES, read_regular


@dataclass(frozen=True, slots=True)
class Mark:
    """How much of the file there was at a moment, in bytes, and its checksum."""

    size: int
    sha256: str


class AppendedFile:
    """Lines are written after the last mark; what a process that died wrote beyond it is cut off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._hash = hashlib.sha256()

    def append(self, lines: Iterable[str]) -> Mark:
        """Adds lines, which are on disk when it returns."""
        content = "".join(f"{line}\n" for line in lines).encode()
        with open_new(self._path) if not self._size else self._path.open("r+b") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._hash.update(content)
        self._size += len(content)
        return Mark(self._size, self._hash.hexdigest())

    def go_on_from(self, mark: Mark) -> list[str]:
        """The lines up to the mark; what is added from now on follows them.

        Raises:
            UserError: The file cannot be read.
            ValueError: It is not as it was.
        """
        content = read_regular(self._path, MAX_TEXT_BYTES, follow_links=False)[: mark.size]
        found = hashlib.sha256(content)
        if len(content) != mark.size or found.hexdigest() != mark.sha256:
            raise ValueError(
                f"the first {mark.size} bytes of {self._path.name} are not those that it was made with"
            )
        self._size, self._hash = mark.size, found
        return content.decode().splitlines()
