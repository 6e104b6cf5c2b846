"""Other runners in the same directory: who they are, and whether this one may join them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.cell.provenance import command_line
from lwft_bench.results.claims import Claims
from lwft_bench.results.owners import Owner
from lwft_bench.results.store import RESULT, RunStore
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.run import SuiteRecord


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run directory, and this runner's claims in it."""

    store: RunStore
    claims: Claims

    def write_suite(self, record: SuiteRecord, source: str) -> None:
        """Note the suite.

        Raises:
            UserError: Others run it now with other cells or settings.
        """
        with self.claims.alone("suite"):
            require_same_cells(self.store, record, self.claims.others())
            self.store.write_suite(record, source)


@contextmanager
def joined(
    store: RunStore, suite: str, lease_seconds: float, say: Callable[[str], None]
) -> Iterator[SharedRun]:
    """A runner in the directory, alone or beside others of the same suite.

    Raises:
        UserError: The directory is another suite's, or cannot be written to.
    """
    require_name(store, suite)
    claims = Claims(store.directory, lease_seconds)
    with claims.beating():
        if others := claims.others():
            say(told_company(store.directory, others))
        recover(store, claims)
        yield SharedRun(store, claims)


def told_company(directory: Path, others: Sequence[Owner]) -> str:
    """That this run helps others, in words."""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{directory}: {others[0]}{more} runs this suite already; this run helps"


def require_name(store: RunStore, name: str) -> None:
    """Refuses a directory with another suite's run.

    Raises:
        UserError: With the command that runs this suite elsewhere.
    """
    if not (store.directory / "suite.json").exists():
        return
    earlier = store.read_suite().name
    if earlier != name:
        raise UserError(
            f"{store.directory} holds a run of suite `{earlier}`, not `{name}`",
            f"to run this one elsewhere: {_command_with_out(_free(store.directory, name))}",
        )


def require_same_cells(store: RunStore, record: SuiteRecord, others: Sequence[Owner]) -> None:
    """Refuses to change the suite under the hands of others who run it.

    Raises:
        UserError: With what differs.
    """
    if not others or not (store.directory / "suite.json").exists():
        return
    now = _identities(store.read_suite())
    here = _identities(record)
    differing = sorted(
        cell_id
        for cell_id in now.keys() | here.keys()
        if cell_id not in now
        or cell_id not in here
        or (None not in (now[cell_id], here[cell_id]) and now[cell_id] != here[cell_id])
    )
    if differing:
        more = f" and {len(differing) - 1} more cells" if len(differing) > 1 else ""
        free = _free(store.directory, record.name)
        raise UserError(
            f"{store.directory}: {others[0]} runs this suite with other cells or settings: "
            f"{differing[0]}{more}",
            f"wait for it to end, or: {_command_with_out(free)}",
        )


def recover(store: RunStore, claims: Claims) -> None:
    """Publish cells whose runner died after their result was written and before it appeared."""
    for path in (store.directory / "work").glob(f"*/{RESULT}"):
        cell_id = path.parent.name
        if claims.acquire(cell_id):
            store.recover_cell(cell_id)
            claims.release(cell_id)


def _identities(record: SuiteRecord) -> dict[str, str | None]:
    return {cell.id: cell.identity for cell in (*record.cells, *record.trials)}


def _free(directory: Path, name: str) -> Path:
    """A directory beside this one that is not there yet."""
    found, number = directory.with_name(name), 1
    while found.exists():
        number += 1
        found = directory.with_name(f"{name}-{number}")
    return found


def _command_with_out(out: Path) -> str:
    """The command that is running, with another directory."""
    words: list[str] = []
    for word in shlex.split(command_line()):
        if words and words[-1] == "--out":
            words.pop()
        elif not word.startswith("--out="):
            words.append(word)
    return shlex.join([*words, "--out", str(out)])
