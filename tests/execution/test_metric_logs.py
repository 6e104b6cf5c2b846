"""Metrics of running cells: what is logged, what a failing logger costs, and what readers read back."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_cells import FakeSuite
from rich.console import Console

from lwft_bench.execution.loggers import LOGGERS, make_loggers
from lwft_bench.execution.metric_logs import LOGGED, MetricLogs
from lwft_bench.execution.progress import progress_on
from lwft_bench.execution.tracking import RunTracker
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.events import StepsDone, Validated
from lwft_bench.schema.rows import StepRow

CELL = FakeSuite(("one",)).cells[0]


def row(step: int) -> StepRow:
    return StepRow(
        step=step, loss=1 / (step + 2), lr=0.1, tokens=20, target_tokens=10, seconds=0.5, period=0,
        flops=7,
    )  # fmt: skip


EVENTS = (
    StepsDone(0, 4, 0.5, 40.0, None, (row(-1),)),
    Validated(0, 9.0),
    StepsDone(2, 4, 0.3, 40.0, None, (row(0), row(1))),
    Validated(2, 0.25),
    StepsDone(4, 4, 0.2, 40.0, None, (row(2), row(3))),
    Validated(4, 0.125),
)


class Kept:
    """Keeps what it is given; fails from the step of this number on."""

    name = "kept"

    def __init__(self, fails_at: int = 99) -> None:
        self.fails_at = fails_at
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.steps: dict[int, dict[str, float]] = {}

    def begin(self, cell: Cell) -> None:
        self.begun.append(cell.id)

    def log(self, cell_id: str, step: int, metrics: Mapping[str, float]) -> None:
        if step >= self.fails_at:
            raise OSError("no\nroom")
        self.steps.setdefault(step, {}).update(metrics)

    def end(self, cell_id: str) -> None:
        self.ended.append(cell_id)


def logged(logs: MetricLogs) -> None:
    logs.started(CELL.id)
    for event in EVENTS:
        logs.event(CELL.id, event)
    logs.ended(CELL.id)
    logs.close()


def test_rows_of_training_steps_are_logged_under_the_names_of_their_columns() -> None:
    kept = Kept()
    logged(MetricLogs([kept], [CELL], pytest.fail))
    assert (kept.begun, kept.ended) == ([CELL.id], [CELL.id])
    assert list(kept.steps) == [0, 1, 2, 3]
    assert kept.steps[0] == {
        "loss": 0.5, "lr": 0.1, "tokens": 20.0, "target_tokens": 10.0, "seconds": 0.5
    }  # fmt: skip
    assert [kept.steps[step].get("validation_loss") for step in range(4)] == [
        None, 0.25, None, 0.125
    ]  # fmt: skip
    assert set(LOGGED) <= set(StepRow.model_fields)


def test_a_logger_that_fails_is_told_of_and_dropped_and_others_go_on() -> None:
    bad, good, told = Kept(fails_at=1), Kept(), []
    logged(MetricLogs([bad, good], [CELL], told.append))
    assert told == ["warning: kept logs no more of this run (OSError: no room)"]
    assert list(bad.steps) == [0] and list(good.steps) == [0, 1, 2, 3]


def test_progress_hands_on_what_cells_tell() -> None:
    kept, console = Kept(), Console(file=io.StringIO())
    with progress_on(console, RunTracker(1), [kept], [CELL]) as progress:
        progress.started(CELL.id, resumed=False)
        for event in EVENTS:
            progress.event(CELL.id, event)
        progress.dropped(CELL.id, "interrupted")
    assert list(kept.steps) == [0, 1, 2, 3] and kept.ended == [CELL.id]


def test_names_without_a_logger_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--log: expected .* found 'mlflow'"):
        make_loggers(["tensorboard", "mlflow"], tmp_path)


def expected(name: str) -> dict[int, float]:
    kept = Kept()
    logged(MetricLogs([kept], [CELL], pytest.fail))
    return {step: values[name] for step, values in kept.steps.items() if name in values}


def test_tensorboards_own_reader_reads_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(MetricLogs([LOGGERS["tensorboard"](tmp_path)], [CELL], pytest.fail))
    events = EventAccumulator(str(tmp_path / CELL.id))
    events.Reload()
    assert sorted(events.Tags()["tensors"]) == sorted(LOGGED)
    for name in LOGGED:
        read = {
            one.step: one.tensor_proto.float_val[0]
            if one.tensor_proto.float_val
            else _float(one.tensor_proto.tensor_content)
            for one in events.Tensors(name)
        }
        assert read == pytest.approx(expected(name), rel=1e-6)


def _float(content: bytes) -> float:
    return struct.unpack("<f", content)[0]


def test_trackios_own_reader_reads_what_was_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # as the logger does, and back again
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    logged(MetricLogs([LOGGERS["trackio"](tmp_path)], [CELL], pytest.fail))
    rows = SQLiteStorage.get_logs("lwft-bench", CELL.id)
    for name in LOGGED:
        read = {one["step"]: one[name] for one in rows if name in one}
        assert read == pytest.approx(expected(name))


@pytest.mark.slow
def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logged(MetricLogs([LOGGERS["wandb"](tmp_path)], [CELL], pytest.fail))
    (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(300):  # its service may still be writing
        history = wandb_history(run.read_bytes())
        if len(history) == 4:
            break
        time.sleep(0.1)
    for name in LOGGED:
        read = {int(step["_step"]): step[name] for step in history if name in step}
        assert read == pytest.approx(expected(name))
    assert {key for step in history for key in step if key[0] != "_"} == set(LOGGED)


def wandb_history(content: bytes) -> list[dict[str, float]]:
    """The steps of an offline run. Its package has no reader of its own any more: records of its types
    stand in the log format of LevelDB, 7 bytes before each part, in blocks of 32 KiB.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    history, place, pending = [], 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        pending += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, pending = Record.FromString(pending), b""
            if record.HasField("history"):
                items = record.history.item
                history.append(
                    {
                        one.key or ".".join(one.nested_key): json.loads(one.value_json)
                        for one in items
                    }
                )
    return history
