import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lwft_bench.results.claims import Claims
from lwft_bench.results.owners import Owner
from lwft_bench.schema.errors import UserError

LEASE = 8.0


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claims(directory: Path, clock: Clock) -> Claims:
    return Claims(directory, LEASE, clock)


def stranger(directory: Path, cell: str, number: int = 1, **changes: object) -> Owner:
    """A runner of another machine that claims a cell."""
    owner = replace(Owner.this_process(), host="elsewhere", place="elsewhere 1", **changes)
    beat(directory, owner, 1)
    (directory / "claims" / f"{cell}@{number}").write_text(owner.token)
    return owner


def beat(directory: Path, owner: Owner, number: int) -> None:
    folder = directory / "claims"
    folder.mkdir(exist_ok=True)
    text = json.dumps(asdict(owner) | {"beats": number})
    (folder / f"runner-{owner.token}.json").write_text(text)


def test_one_of_two_has_a_cell_until_it_gives_it_back(tmp_path: Path, clock: Clock) -> None:
    one, other = claims(tmp_path, clock), claims(tmp_path, clock)
    assert one.acquire("a")
    assert one.acquire("a"), "it has it already"
    assert not other.acquire("a")
    assert other.acquire("b")
    assert other.elsewhere() == {"a": one.owner}
    one.release("a")
    assert other.acquire("a")
    assert not one.holds("a")
    assert other.holds("a")


def test_of_many_that_want_it_at_once_one_has_it(tmp_path: Path) -> None:
    everyone = [Claims(tmp_path) for _ in range(8)]
    cells = [f"cell{number}" for number in range(20)]
    taken: list[str] = []
    ready = threading.Barrier(len(everyone))

    def take(one: Claims) -> None:
        ready.wait()
        taken.extend(cell for cell in cells if one.acquire(cell))

    threads = [threading.Thread(target=take, args=(one,)) for one in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(cells)


def test_of_many_that_follow_one_who_died_one_has_it(tmp_path: Path, clock: Clock) -> None:
    for number in range(1, 4):  # it was taken over before
        stranger(tmp_path, "a", number)
    everyone = [claims(tmp_path, clock) for _ in range(8)]
    assert not any(one.acquire("a") for one in everyone)
    clock.now += 2 * LEASE + 1
    assert sum(one.acquire("a") for one in everyone) == 1


def test_a_runner_elsewhere_lives_while_its_number_goes_up(tmp_path: Path, clock: Clock) -> None:
    owner = stranger(tmp_path, "a")
    one = claims(tmp_path, clock)
    for number in range(2, 5):
        assert not one.acquire("a")
        assert one.others() == [owner]
        clock.now += 1.5 * LEASE
        beat(tmp_path, owner, number)
    assert not one.acquire("a")
    clock.now += 2 * LEASE + 1
    assert one.acquire("a")
    assert one.others() == []
    assert not (tmp_path / "claims" / f"runner-{owner.token}.json").exists(), "all are told"


def test_a_process_here_that_died_is_seen_at_once(tmp_path: Path, clock: Clock) -> None:
    code = "import sys; from pathlib import Path; from lwft_bench.results.claims import Claims\n"
    code += "assert Claims(Path(sys.argv[1])).acquire('a')"
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    one = claims(tmp_path, clock)
    assert not one.acquire("a"), "its cells may still be dying"
    clock.now += 1.0
    assert one.acquire("a")


def test_a_process_number_that_another_has_now_is_no_sign_of_life(
    tmp_path: Path, clock: Clock
) -> None:
    owner = replace(Owner.this_process(), process_start="1")
    beat(tmp_path, owner, 1)
    (tmp_path / "claims" / "a@1").write_text(owner.token)
    one = claims(tmp_path, clock)
    assert not one.acquire("a")
    clock.now += 1.0
    assert one.acquire("a")


def test_a_living_process_here_keeps_its_cell_however_silent(tmp_path: Path, clock: Clock) -> None:
    one, other = claims(tmp_path, clock), claims(tmp_path, clock)
    assert one.acquire("a")
    assert not other.acquire("a")
    clock.now += 100 * LEASE
    assert not other.acquire("a")


def test_one_that_was_taken_for_dead_holds_nothing_and_begins_anew(tmp_path: Path) -> None:
    one = Claims(tmp_path, lease_seconds=0.2)
    with one.beating():
        assert one.acquire("a")
        assert one.renew()
        before = one.owner
        one.own_file.unlink()  # as whoever takes over does
        waited = threading.Event()
        for _ in range(100):
            if not one.holds("a"):
                break
            waited.wait(0.05)
        assert not one.holds("a")
        assert not one.renew()
        assert one.renew()
        assert one.owner != before
        assert one.own_file.exists()


def test_a_cell_that_was_taken_over_is_not_held(tmp_path: Path, clock: Clock) -> None:
    one = claims(tmp_path, clock)
    assert one.acquire("a")
    stranger(tmp_path, "a", 2)
    assert not one.holds("a")


def test_nothing_is_left_in_the_end(tmp_path: Path) -> None:
    one = Claims(tmp_path)
    with one.beating():
        one.acquire("a")
        with one.alone("suite"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_will_do(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    one, other = claims(tmp_path, clock), claims(tmp_path, clock)
    assert one.acquire("a")
    assert not other.acquire("a")


def test_a_link_whose_answer_was_lost_is_seen_to_be_there(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS repeats a request that was not answered, and the second finds what the first made."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr("os.link", twice)
    one, other = claims(tmp_path, clock), claims(tmp_path, clock)
    assert one.acquire("a")
    assert not other.acquire("a")


def test_a_directory_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing")):
        with pytest.raises(UserError, match="cannot be written to: ") as raised:
            Claims(folder)
        assert raised.value.hint == "give another directory with --out"
