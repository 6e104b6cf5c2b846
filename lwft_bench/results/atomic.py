"""Files and folders that appear complete or not at all, also when the process or machine dies."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from lwft_bench.schema.errors import UserError

_STRING_OR_INFINITY = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')


def write_text_atomic(path: Path, text: str) -> None:
    """Replace the file's contents in one step, on disk before it is visible."""
    replace_file(path, text.encode(), path.with_name(f".{path.name}.partial"), sync=True)
    _fsync(path.parent)


def replace_file(path: Path, content: bytes, partial: Path, *, sync: bool) -> None:
    """Write `partial` and rename it to `path`: readers see the old file or the new one.

    Args:
        partial: Beside `path`. Nothing is left of it when there is no room.
        sync: Whether the content is on disk before it is visible.

    Raises:
        OSError: It names `path`.
    """
    try:
        with open_new(partial) as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None
        raise


def open_new(path: Path) -> BinaryIO:
    """A file to write, in place of what lay there: where that was a link, it is not followed."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return open(os.open(path, flags, 0o666), "wb")


def write_json_atomic(path: Path, value: Any) -> None:
    """As `write_text_atomic`, in strict JSON.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot say.
    """
    write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def require_empty(folder: Path) -> None:
    """Raises UserError if there is something where a folder is to be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder", "give another with --out")


def make_folder(folder: Path) -> None:
    """The folder and those above it. Raises UserError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made: {error.strerror}", "give another with --out"
        ) from None


def strict_json(text: str) -> str:
    """JSON text whose infinities are the constants that Python and pydantic write, with numbers
    beyond every float in their place: readers of strict JSON take these, and Python reads infinity.
    """
    return _STRING_OR_INFINITY.sub(
        lambda found: "1e999" if found[0] == "Infinity" else found[0], text
    )


def publish_folder(source: Path, target: Path) -> None:
    """Rename a folder, all its contents on disk, to a name that must not exist yet."""
    for path in source.rglob("*"):
        _fsync(path)
    _fsync(source)
    move_folder(source, target)


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder to a name that must not exist yet, making the folder it goes into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
    _fsync(target.parent)
    _fsync(source.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
