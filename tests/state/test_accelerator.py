"""The accelerator's engine against stand-ins of torch's streams: nothing here has a real one.

What can be shown without a device: every call exists and is made on the stream meant for it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lwft_bench.selftest.delays import DelayedEngine, SerialEngine
from lwft_bench.state import accelerator
from lwft_bench.state.accelerator import AcceleratorEngine
from lwft_bench.state.engine import Queue, Wait

CPU = torch.device("cpu")


class Stream:
    """Has the methods of torch.Stream that the engine uses, and logs what becomes of it."""

    log: list[tuple[Any, ...]]
    current: list[Stream]

    def __init__(self, device: torch.device | None = None) -> None:
        self.number = len({id(entry) for entry in self.log})

    def __enter__(self) -> Stream:
        self.current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.current.pop()

    def record_event(self) -> SimpleNamespace:
        return SimpleNamespace(
            stream=self, synchronize=lambda: self.log.append(("host waits for", self))
        )

    def wait_event(self, event: SimpleNamespace) -> None:
        self.log.append((self, "waits for", event.stream))


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> type[Stream]:
    Stream.log, Stream.current = [], []
    main = Stream()
    Stream.current.append(main)

    def empty(size: int, *, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        Stream.log.append(("pinned" if pin_memory else "device", size))
        return torch.empty(size, **options)

    stand_in = SimpleNamespace(
        Stream=Stream,
        accelerator=SimpleNamespace(current_stream=lambda device: Stream.current[-1]),
        empty=empty,
        uint8=torch.uint8,
        Tensor=torch.Tensor,
    )
    monkeypatch.setattr(accelerator, "torch", stand_in)
    return Stream


def test_each_queue_is_a_stream_of_its_own(streams: type[Stream]) -> None:
    engine = AcceleratorEngine(CPU)
    assert len(set(map(id, engine._streams.values()))) == 3
    assert engine._streams[Queue.COMPUTE] is streams.current[0]


def test_memory_is_pinned_on_the_host_only(streams: type[Stream]) -> None:
    engine = AcceleratorEngine(CPU)
    engine.allocate_host(64)
    engine.allocate_device(32)
    assert streams.log == [("pinned", 64), ("device", 32)]


def test_copies_run_on_their_streams_without_blocking(
    streams: type[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = AcceleratorEngine(CPU)
    copy, seen = torch.Tensor.copy_, []

    def noted(self: torch.Tensor, other: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        seen.append((streams.current[-1], non_blocking))
        return copy(self, other)

    monkeypatch.setattr(torch.Tensor, "copy_", noted)
    host, device = torch.arange(8, dtype=torch.uint8), torch.zeros(8, dtype=torch.uint8)
    engine.copy_in(device, host)
    engine.copy_out(host, device)
    assert seen == [(engine._streams[Queue.IN], True), (engine._streams[Queue.OUT], True)]
    assert torch.equal(device, host)


def test_waits_are_between_the_streams_named(streams: type[Stream]) -> None:
    engine = AcceleratorEngine(CPU)
    into, out = engine._streams[Queue.IN], engine._streams[Queue.OUT]
    engine.wait(Queue.IN, engine.record(Queue.OUT), Wait.EMPTIED)
    engine.wait(Queue.HOST, engine.record(Queue.OUT), Wait.SAVED)
    engine.wait(Queue.COMPUTE, None, Wait.ARRIVED)
    assert streams.log == [(into, "waits for", out), ("host waits for", out)]


def test_compute_on_another_stream_is_refused(streams: type[Stream]) -> None:
    engine = AcceleratorEngine(CPU)
    engine.compute(lambda: None, [], [])
    with Stream(), pytest.raises(AssertionError):
        engine.compute(lambda: None, [], [])


def test_the_self_tests_engines_delay_the_stream_named(
    streams: type[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda _: SimpleNamespace(synchronize=id))
    busy: list[Stream] = []
    monkeypatch.setattr(torch, "mm", lambda *_, out: busy.append(streams.current[-1]))
    engine = DelayedEngine(CPU, Queue.OUT)
    piece = torch.zeros(4, dtype=torch.uint8)
    engine.copy_in(piece, piece.clone())
    engine.compute(lambda: None, [], [])
    assert busy == []
    engine.copy_out(piece, piece.clone())
    assert busy == [engine._streams[Queue.OUT]]
    SerialEngine(CPU).record(Queue.IN)
    assert streams.log[-1][0] == "host waits for"
