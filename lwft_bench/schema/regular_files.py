"""Files that are read whole, with a limit on their size and kind before anything parses them.

A pipe would hang a reader, a device never ends, a symbolic link may lead anywhere, and a small file
can unpack to any size.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from lwft_bench.schema.errors import UserError

MAX_TEXT_BYTES = 2**30
"""Of a data file, unpacked. The largest training sets of this field in text have a tenth of it."""

MAX_CONFIG_BYTES = 2**22
"""Of a suite, a card or a definition."""

_GZIP = b"\x1f\x8b"


def read_regular(path: Path, limit: int, *, follow_links: bool = True) -> bytes:
    """The content of a regular file.

    Args:
        limit: Bytes that it may have.
        follow_links: False refuses a symbolic link in place of the file (not above it).

    Raises:
        UserError: it is not there, of another kind, too large, or cannot be read.
    """
    with _opened(path, follow_links) as stream:
        try:
            content = stream.read(limit + 1)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise UserError(f"{path}: cannot be read: {_too_large(limit)}")
    return content


def require_regular(path: Path) -> None:
    """For files that a library opens by their name.

    Raises:
        UserError: it is not there, of another kind, or may not be read.
    """
    _opened(path, follow_links=True).close()


def _opened(path: Path, follow_links: bool) -> BinaryIO:
    # Opening a pipe without O_NONBLOCK waits for a writer.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if not follow_links and path.is_symlink():
            raise UserError(f"{path}: a symbolic link, which is not followed here") from None
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in its name
        raise UserError(f"{str(path)!r}: cannot be read: {error}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise UserError(f"{path}: cannot be read: expected a file, found {_kind(mode)}")
    return open(descriptor, "rb")


def read_text(path: Path, limit: int | None = None) -> str:
    """A UTF-8 text file, gzipped or not, without its byte-order mark.

    Args:
        limit: Bytes that the text may have; None: `MAX_TEXT_BYTES`.

    Raises:
        UserError: as `read_regular`, or it is no such text; the line says where.
    """
    limit = MAX_TEXT_BYTES if limit is None else limit
    content = read_regular(path, limit)
    if content.startswith(_GZIP):
        content = _unpacked(path, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: cannot be read: not UTF-8 text ({error.reason})") from None


def _unpacked(path: Path, limit: int) -> bytes:
    try:
        with gzip.open(path) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: not a whole gzip file ({error})") from None
    if len(content) > limit:
        raise UserError(f"{path}: cannot be read: {_too_large(limit)} once unpacked")
    return content


def _too_large(limit: int) -> str:
    return f"larger than {limit / 2**20:,.0f} MiB"


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
