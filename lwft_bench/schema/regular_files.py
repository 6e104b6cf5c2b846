"""Files that are read whole, with a limit on their size and kind before anything parses them.

A pipe would hang a reader, a device never ends, a symbolic link may lead anywhere, and a small file
can unpack to any size.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from lwft_bench.schema.errors import UserError
from lwft_bench.schema.strict_reading import GivenTwice, others_from_json

MAX_TEXT_BYTES = 2**30
"""Of a data file, unpacked. The largest training sets of this field in text have a tenth of it."""

MAX_JSON_BYTES = 2**28
"""Of a model's JSON files; a tokenizer of a quarter of a million tokens has a twentieth of it."""

MAX_CONFIG_BYTES = 2**22
"""Of a suite, a card or a definition."""


class Unreadable(UserError):
    """A file that cannot be read: why, and on which line if it is one of a text."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        super().__init__(f"{place_of(path, line)}: cannot be read: {reason}")


def place_of(path: Path, line: int | None) -> str:
    """`file:line`, or the file alone; in characters that any terminal takes."""
    shown = str(path).encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return shown if line is None else f"{shown}:{line}"


_GZIP = b"\x1f\x8b"


def read_regular(path: Path, limit: int, *, follow_links: bool = True) -> bytes:
    """The content of a regular file.

    Args:
        limit: Bytes that it may have.
        follow_links: False refuses a symbolic link in place of the file (not above it).

    Raises:
        Unreadable: it is not there, of another kind, too large, or cannot be read.
    """
    with _opened(path, follow_links) as stream:
        try:
            # To be asked for more than there is would take as much memory for a moment.
            size = min(os.fstat(stream.fileno()).st_size, limit)
            content = stream.read(size + 1)
            if len(content) > size:  # it has grown, or its size is not told
                content += stream.read(limit - size)
        except OSError as error:
            raise Unreadable(path, str(error.strerror)) from None
    if len(content) > limit:
        raise Unreadable(path, _too_large(limit))
    return content


def read_record(path: Path, limit: int | None = None) -> str:
    """A text file of a run's directory, which may be somebody else's: no link is followed.

    Raises:
        Unreadable: as `read_regular`, or it is not UTF-8.
    """
    return _record_text(path, read_regular(path, limit or MAX_JSON_BYTES, follow_links=False))


def read_packed_record(path: Path, limit: int) -> str:
    """As `read_record`, of a gzipped file. limit: bytes that it may have, packed or not.

    Raises:
        Unreadable: as `read_record`, or it is no whole gzip file.
    """
    return _record_text(path, _unpacked(path, read_regular(path, limit, follow_links=False), limit))


def _record_text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(path, f"not UTF-8 text ({error.reason})", line) from None


def require_regular(path: Path) -> None:
    """For files that a library opens by their name.

    Raises:
        Unreadable: it is not there, of another kind, or may not be read.
    """
    _opened(path, follow_links=True).close()


def _opened(path: Path, follow_links: bool) -> BinaryIO:
    # Opening a pipe without O_NONBLOCK waits for a writer.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if not follow_links and path.is_symlink():
            raise Unreadable(path, "a symbolic link, which is not followed here") from None
        raise Unreadable(path, str(error.strerror)) from None
    except ValueError as error:  # a null byte in its name
        raise Unreadable(path, str(error)) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise Unreadable(path, f"expected a file, found {_kind(mode)}")
    return open(descriptor, "rb")


def read_text(path: Path, limit: int | None = None) -> str:
    """A UTF-8 text file, gzipped or not, without its byte-order mark.

    Args:
        limit: Bytes that the text may have; None: `MAX_TEXT_BYTES`.

    Raises:
        Unreadable: as `read_regular`, or it is no such text; the line says where.
    """
    limit = MAX_TEXT_BYTES if limit is None else limit
    content = read_regular(path, limit)
    if content.startswith(_GZIP):
        content = _unpacked(path, content, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(path, f"not UTF-8 text ({error.reason})", line) from None


def _unpacked(path: Path, packed: bytes, limit: int) -> bytes:
    try:
        with gzip.open(io.BytesIO(packed)) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(path, f"not a whole gzip file ({error})") from None
    if len(content) > limit:
        raise Unreadable(path, f"{_too_large(limit)} once unpacked")
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


def read_json_object(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A file that holds one JSON object.

    Raises:
        Unreadable: as `read_text`, or it holds none; the line says where.
    """
    text = read_text(path, limit)
    try:
        value = others_from_json(text)
    except JSONDecodeError as error:
        reason = f"not JSON: {error.msg} (column {error.colno})"
        raise Unreadable(path, reason, error.lineno) from None
    except RecursionError:
        raise Unreadable(path, "nested too deeply") from None
    except GivenTwice as error:
        raise Unreadable(path, str(error)) from None
    except ValueError:
        raise Unreadable(path, "a number of thousands of digits") from None
    if not isinstance(value, dict):
        raise Unreadable(path, "expected a JSON object", 1)
    return value
