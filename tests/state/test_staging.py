"""Offloaded state keeps its order: on a simulated device, under every missing wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import torch

from lwft_bench.memory.meters import NoAccount
from lwft_bench.state.engine import Engine, Queue, SynchronousEngine, Wait
from lwft_bench.state.happens_before import Race
from lwft_bench.state.simulated import SimulatedEngine, Undeclared
from lwft_bench.state.staging import NUM_SLOTS, SMALL_SHARE, Home, Staging

SIZES = (64, 256, 128, 64, 256, 192, 64, 128, 256, 4, 2)
"""More than there are slots; the last two are small."""
ALL = range(len(SIZES))
CPU = torch.device("cpu")


class Exercise:
    """Scripted steps over a few homes: right and wrong expectations, few homes, first touches."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.staging = Staging(engine, NoAccount(), lambda: SIZES)
        self.homes = [self.make(size) for size in SIZES]

    def make(self, size: int) -> Home:
        return Home(self.engine.allocate_host(size), resident=False)

    def step(self, updated: Sequence[int], expected: Sequence[int] | None = None) -> None:
        self.staging.expect(self.homes[i] for i in (updated if expected is None else expected))
        for number in updated:
            self.staging.update(self.homes[number], partial(torch.Tensor.add_, other=number + 1))
        self.engine.catch_up()

    def load(self, number: int, value: int) -> None:
        """As from a checkpoint."""
        home = self.homes[number]
        self.engine.host_access([], [home.memory])
        home.memory.fill_(value)
        home.filled = True

    def renew(self, number: int) -> None:
        self.staging.release([self.homes[number]])
        self.homes[number] = self.make(SIZES[number])

    def states(self) -> Iterator[torch.Tensor]:
        for home in self.homes:
            if home.filled:
                self.engine.wait(Queue.HOST, home.written, Wait.SAVED)
                self.engine.host_access([home.memory], [])
                yield home.memory.clone()

    def run(self) -> list[torch.Tensor]:
        self.load(0, 7)
        self.step([0, 1])
        self.step([0, 1])
        self.step([0])
        self.step([0])
        self.step(ALL)
        self.step(ALL)
        self.step(ALL[::-1], expected=ALL)
        self.renew(3)
        self.step([3, 0, 1], expected=[0, 1, 3])  # a prefetch is dropped, and its slot zeroed
        self.step([0], expected=[0, 1, 2])
        self.renew(1)  # while a prefetch that nobody wanted may still read it
        self.step([1, 2, 0])
        self.renew(0)
        self.step(ALL, expected=[])
        return list(self.states())


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_order_gives_what_no_queues_give() -> None:
    expected = Exercise(SynchronousEngine(CPU)).run()
    for seed in range(200):
        engine = SimulatedEngine(seed)
        found = Exercise(engine).run()
        assert same(expected, found)
        assert set(engine.waits) == set(Wait)
        assert engine.bytes_in > 1000


@pytest.mark.parametrize("wait", Wait)
def test_every_wait_is_missed_when_it_is_left_out(wait: Wait) -> None:
    """The checker needs one schedule only, whichever it is."""
    for seed in range(5):
        with pytest.raises(Race):
            Exercise(SimulatedEngine(seed, disabled=[wait])).run()


@pytest.mark.parametrize("wait", [Wait.ARRIVED, Wait.UPDATED, Wait.EMPTIED])
def test_without_the_checker_wrong_numbers_come_out(
    wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An independent witness: the simulated device really does things out of order."""
    monkeypatch.setattr("lwft_bench.state.happens_before.HappensBefore._access", lambda *_: None)
    expected = Exercise(SynchronousEngine(CPU)).run()
    wrong = 0
    for seed in range(20):
        found = Exercise(SimulatedEngine(seed, disabled=[wait])).run()
        wrong += not same(expected, found)
    assert wrong > 5


def test_a_read_that_was_not_declared_is_noticed() -> None:
    engine = SimulatedEngine()
    memory, other = engine.allocate_device(8), engine.allocate_device(8)
    engine.compute(lambda: memory.copy_(other), [], [memory])
    with pytest.raises(Undeclared, match="reads"):
        engine.catch_up()


def test_a_write_that_was_not_declared_is_noticed() -> None:
    engine = SimulatedEngine()
    memory = engine.allocate_device(8)
    engine.compute(lambda: memory[:5].zero_(), [memory], [memory[:4]])
    with pytest.raises(Undeclared, match="writes"):
        engine.catch_up()


def test_the_next_buckets_come_in_before_they_are_asked_for() -> None:
    exercise = Exercise(SimulatedEngine())
    exercise.step(ALL)
    exercise.staging.expect(exercise.homes)
    assert [home.read is not None for home in exercise.homes[: NUM_SLOTS + 1]] == [
        *(True for _ in range(NUM_SLOTS)),
        False,
    ]


def test_small_buckets_do_not_take_a_large_slot() -> None:
    exercise = Exercise(SimulatedEngine())
    exercise.step(ALL)
    small = [number for number in ALL if SIZES[number] <= max(SIZES) // SMALL_SHARE]
    exercise.staging.expect(exercise.homes[i] for i in [*small, *range(NUM_SLOTS)])
    assert len(small) == 2
    assert all(exercise.homes[i].read is not None for i in [*small, *range(NUM_SLOTS)])
