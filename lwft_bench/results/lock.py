"""One run at a time in a directory."""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lwft_bench.schema.errors import UserError


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; the kernel frees it however the process ends.

    Raises:
        UserError: If another process holds it, or nothing can be written there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written to: {error.strerror}",
            "give another directory with --out",
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{directory} is in use by another run (process {file.read().strip()})",
                "wait for it to end, or give another directory with --out",
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
            warnings.warn(
                f"{directory}: this file system has no locks ({error.strerror}); nothing keeps a "
                "second run from writing there",
                stacklevel=2,
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
