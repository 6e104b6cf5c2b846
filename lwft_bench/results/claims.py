"""Several runners in one directory: which of them runs which cell.

DIR/claims/runner-<token>.json    one a runner: who it is, and a number that goes up while it lives
DIR/claims/<cell id>@<n>          who runs the cell; of several the one with the highest n

A claim appears by a hard link, which succeeds for one runner alone, on NFS too. Whoever finds a claim of
a runner that is dead makes the next, n + 1, for which the same holds. A runner is dead when its file is
gone, when its process is seen to be, or, on another machine, when its number has stood still for the
length of two leases by the clock of the one who looks: clocks are never compared. A runner that
could not write its number for one lease takes itself for dead.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from lwft_bench.results.owners import Owner
from lwft_bench.schema.errors import UserError

LEASE_SECONDS = 60.0
_BEATS_A_LEASE = 8
_GRACE_SECONDS = 0.5
"""What a dead runner's cells have to die with it."""
_RETRY_SECONDS = 0.1
_JOINS = 5
_UNREADABLE = "?"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def seconds() -> float:
    """A clock that goes on while the machine is suspended, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Claims:
    """One runner's view of a directory that others may work in, too."""

    def __init__(
        self,
        directory: Path,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self._folder = directory / "claims"
        self._lease = lease_seconds
        self._clock = clock
        self._held: dict[str, int] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        self._over = threading.Event()
        self._lapsed = False
        self._join()

    def _join(self) -> None:
        self.owner = Owner.this_process()
        self.own_file = self._runner_file(self.owner.token)
        self._beats = 0
        self._beaten = self._clock()
        try:
            for _ in range(_JOINS):
                self._folder.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # the last of others has just removed the folder
                    return self._write_beat()
            raise OSError(errno.ENOENT, "its folder claims/ vanishes")
        except OSError as error:
            raise UserError(
                f"{self._folder.parent} cannot be written to: {error.strerror}",
                "give another directory with --out",
            ) from None

    # Cells.

    def acquire(self, name: str) -> bool:
        """Have the cell, if nobody who lives has it.

        What there is of the cell has to be looked at after this: another may just have ended it.
        """
        if name in self._held:
            return True
        number, owner = self._current(name)
        if owner is not None and not self._is_dead(owner):
            return False
        if not self._create(f"{name}@{number + 1}"):
            return False
        self._held[name] = number + 1
        if not self.holds(name):  # the one who died had been followed by others meanwhile
            self._unlink(f"{name}@{self._held.pop(name)}")
            return False
        return True

    def holds(self, name: str) -> bool:
        """Whether the cell is still this runner's: not if it was taken for dead."""
        number = self._held.get(name)
        return number is not None and not self._lapsed and self._current(name)[0] == number

    def release(self, name: str) -> None:
        """Let others have the cell."""
        if self._held.pop(name, None) is not None:
            for number in sorted(self._numbers(name)):  # so that none that is dead shows again
                self._unlink(f"{name}@{number}")

    def elsewhere(self) -> dict[str, Owner | None]:
        """Cells that others claim who are not known to be dead; None: of whom cannot be read."""
        found: dict[str, Owner | None] = {}
        for name in {entry.rpartition("@")[0] for entry in self._entries() if "@" in entry}:
            if name in self._held:
                continue
            token = self._current(name)[1]
            if token is not None and not self._is_dead(token):
                found[name] = self._owner(token)
        return found

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold something that is no cell and that all runners hold for a moment only."""
        while not self.acquire(f".{name}"):
            time.sleep(_RETRY_SECONDS)
        try:
            yield
        finally:
            self.release(f".{name}")

    # Runners.

    def others(self) -> list[Owner]:
        """Runners beside this one that are not known to be dead."""
        tokens = [
            entry.removeprefix("runner-").removesuffix(".json")
            for entry in self._entries()
            if entry.startswith("runner-") and entry != self.own_file.name
        ]
        owners = [self._owner(token) for token in sorted(tokens) if not self._is_dead(token)]
        return [owner for owner in owners if owner is not None]

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Show the others that this runner lives; in the end give back all that it holds."""
        beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beats.start()
        try:
            yield
        finally:
            self._over.set()
            beats.join()
            for name in list(self._held):
                self.release(name)
            self._unlink(self.own_file.name)
            with suppress(OSError):  # others are there
                self._folder.rmdir()

    def renew(self) -> bool:
        """Whether all that was held still is. If not, this is a new runner that holds nothing."""
        if not self._lapsed:
            return True
        self._held.clear()
        self._unlink(self.own_file.name)
        self._join()
        self._lapsed = False
        return False

    def _beat(self) -> None:
        while not self._over.wait(self._lease / _BEATS_A_LEASE):
            if self._lapsed:
                continue
            late = self._clock() - self._beaten > self._lease
            if late or not self.own_file.exists():
                self._lapsed = True  # others may have taken over
                continue
            with suppress(OSError):  # a server of files that is away for a while
                self._write_beat()

    def _write_beat(self) -> None:
        """A file that is swapped in: readers see one number or the next."""
        self._beats += 1
        partial = self._folder / f".beat-{self.owner.token}"
        began = self._clock()
        partial.write_text(json.dumps(asdict(self.owner) | {"beats": self._beats}))
        os.replace(partial, self.own_file)
        self._beaten = began

    def _is_dead(self, token: str) -> bool:
        """Whether the runner is; tells all others by removing its file."""
        if token in (self.owner.token, _UNREADABLE):
            return False
        try:
            text = self._runner_file(token).read_text(encoding="utf-8")
        except FileNotFoundError:
            return self._silent(token, "gone") > self._lease / _BEATS_A_LEASE
        except (OSError, ValueError):
            text = "unreadable"
        owner = _owner_in(text)
        lives = owner.lives() if owner else None
        if lives:
            return False
        if lives is None:
            dead = self._silent(token, text) > 2 * self._lease
        else:
            dead = self._silent(token, "dead") > _GRACE_SECONDS
        if dead:
            self._unlink(self._runner_file(token).name)
        return dead

    def _silent(self, token: str, text: str) -> float:
        """For how long the runner's file has said just this, as far as it was looked at."""
        before, since = self._seen.get(token, ("", 0.0))
        if before != text:
            since = self._clock()
            self._seen[token] = text, since
        return self._clock() - since

    # Files.

    def _current(self, name: str) -> tuple[int, str | None]:
        """The number of the claim that holds, and its runner's token; 0 and None without one."""
        number = max(self._numbers(name), default=0)
        if not number:
            return 0, None
        try:
            return number, (self._folder / f"{name}@{number}").read_text(encoding="utf-8")
        except FileNotFoundError:  # just given back
            return number, None
        except OSError:  # NFS, of a file that was swapped; it can be read in a moment
            return number, _UNREADABLE

    def _numbers(self, name: str) -> list[int]:
        tails = [
            entry.rpartition("@")[2]
            for entry in self._entries()
            if entry.rpartition("@")[0] == name
        ]
        return [int(tail) for tail in tails if tail.isdecimal()]

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []

    def _create(self, entry: str) -> bool:
        """Make a file with this runner's token that was not there; tells whether this call did."""
        target = self._folder / entry
        partial = self._folder / f".claim-{self.owner.token}"
        self._folder.mkdir(exist_ok=True)
        partial.unlink(missing_ok=True)
        partial.write_text(self.owner.token, encoding="utf-8")
        try:
            os.link(partial, target)
        except FileExistsError:
            # NFS can say so of a link that it made, when its first answer was lost.
            return partial.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._create_without_links(target)
        finally:
            partial.unlink(missing_ok=True)
        return True

    def _create_without_links(self, target: Path) -> bool:
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(self.owner.token)
        except FileExistsError:
            return False
        return True

    def _owner(self, token: str) -> Owner | None:
        try:
            return _owner_in(self._runner_file(token).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _runner_file(self, token: str) -> Path:
        return self._folder / f"runner-{token}.json"

    def _unlink(self, entry: str) -> None:
        with suppress(OSError):
            (self._folder / entry).unlink()


def _owner_in(text: str) -> Owner | None:
    """None of a text that no runner wrote."""
    try:
        fields = json.loads(text)
        fields.pop("beats")
        return Owner(**fields)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
