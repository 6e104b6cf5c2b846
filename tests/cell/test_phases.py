import pytest

from lwft_bench.cell import phases
from lwft_bench.cell.phases import PhaseClock
from lwft_bench.schema.events import Noted, PhaseBegan


def test_the_time_between_phases_is_taken_and_events_are_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 2.0, 5.0, 6.0, 10.0])
    monkeypatch.setattr(phases.time, "perf_counter", lambda: next(clock))
    passed: list[object] = []
    measured = PhaseClock(passed.append)
    events = [PhaseBegan("train"), Noted("a word"), PhaseBegan("plan"), PhaseBegan("train")]
    for event in events:
        measured.emit(event)
    assert measured.seconds() == {"load": 2.0, "train": 3.0 + 4.0, "plan": 1.0}
    assert passed == events
