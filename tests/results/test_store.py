import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from lwft_bench.results.atomic import write_json_atomic, write_text_atomic
from lwft_bench.results.rows import write_rows
from lwft_bench.results.store import CellState, RunStore, State, write_result
from lwft_bench.schema.cell import Cell, EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.result import CellResult, Status
from lwft_bench.schema.rows import SelectionHeader, SelectionRow, StepRow, UnitRow
from lwft_bench.schema.run import SuiteCell, SuiteRecord, plain_ablation

IDENTITY = SimpleNamespace(digest="a" * 64, components={"config": "1", "strategy": "1"})
CHANGED = SimpleNamespace(digest="b" * 64, components={"config": "1", "strategy": "2"})


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def make_cell(name: str = "m--x--t--seed0", temperature: float = 1.0) -> Cell:
    return Cell(
        id=name,
        model=ModelConfig(name="m", path="embedded"),
        method=MethodConfig(name="x", title="X", citation="none"),
        task=TaskConfig(name="t", data="none", train_examples=1, benchmarks=("none",)),
        training=TrainingConfig(steps=1),
        evaluation=EvaluationConfig(),
        seed=0,
        ablation={"strategy.temperature": temperature},
    )


CELL = make_cell()


def finish(store: RunStore, status: Status = "done", cell: Cell = CELL) -> CellResult:
    """Run the cell, so to speak."""
    record = store.begin(cell, IDENTITY, threads=1)
    folder = store.work_folder(cell.id)
    (folder / "checkpoint-000010").mkdir(exist_ok=True)
    (folder / ".checkpoint-tmp").mkdir(exist_ok=True)
    write_result(folder, result_of(cell, record.digest, status))
    return store.publish(cell.id)


def result_of(cell: Cell, identity: str, status: Status) -> CellResult:
    return CellResult(
        status=status,
        cell=cell.id,
        model="m",
        method="x",
        task="t",
        seed=0,
        identity=identity,
        identity_components=IDENTITY.components,
    )


def record_of(*names: str, suite: str = "s") -> SuiteRecord:
    cells = tuple(
        SuiteCell(
            id=name,
            model="m",
            method="x",
            task="t",
            seed=0,
            identity=IDENTITY.digest,
            identity_components=IDENTITY.components,
        )
        for name in names
    )
    return SuiteRecord(
        schema_version=1, name=suite, title="", description="", baseline=None, cells=cells
    )


def test_states_in_the_life_of_a_cell(store: RunStore) -> None:
    assert store.state(CELL.id, IDENTITY) == CellState(State.NEW)
    store.begin(CELL, IDENTITY, threads=1)
    assert store.state(CELL.id, IDENTITY) == CellState(State.NEW)
    (store.work_folder(CELL.id) / "checkpoint-000010").mkdir()
    assert store.state(CELL.id, IDENTITY) == CellState(State.INTERRUPTED)
    assert store.state(CELL.id, CHANGED) == CellState(State.STALE, ("strategy",))
    finish(store)
    assert store.state(CELL.id, IDENTITY) == CellState(State.DONE)
    assert store.state(CELL.id, CHANGED) == CellState(State.STALE, ("strategy",))


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "diverged", "crashed", "hung"])
def test_every_status_but_done_is_failed(store: RunStore, status: Status) -> None:
    finish(store, status)
    assert store.state(CELL.id, IDENTITY) == CellState(State.FAILED)


def test_a_half_written_checkpoint_is_none(store: RunStore) -> None:
    store.begin(CELL, IDENTITY, threads=1)
    (store.work_folder(CELL.id) / ".checkpoint-tmp").mkdir()
    assert store.state(CELL.id, IDENTITY).state is State.NEW


def test_begin_keeps_a_checkpoint_and_its_threads(store: RunStore) -> None:
    store.begin(CELL, IDENTITY, threads=2)
    checkpoint = store.work_folder(CELL.id) / "checkpoint-000010"
    checkpoint.mkdir()
    assert store.begin(CELL, IDENTITY, threads=8).threads == 2
    assert checkpoint.exists()


def test_begin_clears_what_has_no_checkpoint(store: RunStore) -> None:
    store.begin(CELL, IDENTITY, threads=2)
    (store.work_folder(CELL.id) / "samples.jsonl").write_text("{}\n")
    assert store.begin(CELL, IDENTITY, threads=8).threads == 8
    assert not (store.work_folder(CELL.id) / "samples.jsonl").exists()


def test_a_failed_cell_goes_on_from_its_checkpoint(store: RunStore) -> None:
    finish(store, "crashed")
    store.begin(CELL, IDENTITY, threads=1)
    work = store.work_folder(CELL.id)
    assert (work / "checkpoint-000010").exists()
    assert json.loads((work / "failure.json").read_text())["status"] == "crashed"
    assert store.state(CELL.id, IDENTITY) == CellState(State.INTERRUPTED)
    assert finish(store).status == "done"


def test_a_done_cell_keeps_its_files_but_no_checkpoint(store: RunStore) -> None:
    finish(store)
    files = {path.name for path in store.cell_folder(CELL.id).iterdir()}
    assert files == {"config.json", "identity.json", "result.json"}
    assert store.config(CELL.id) == CELL
    assert not store.work_folder(CELL.id).exists()


def test_archives_never_overwrite_one_another(store: RunStore) -> None:
    for _ in range(3):
        finish(store)
        store.archive(CELL.id)
    kept = {path.name for path in (store.directory / "stale").iterdir()}
    stem = f"{CELL.id}--aaaaaaaa"
    assert kept == {stem, f"{stem}-2", f"{stem}-3"}
    assert store.state(CELL.id, IDENTITY) == CellState(State.NEW)


def test_a_result_written_before_the_run_died_is_recovered(store: RunStore) -> None:
    record = store.begin(CELL, IDENTITY, threads=1)
    write_result(store.work_folder(CELL.id), result_of(CELL, record.digest, "done"))
    store.recover()
    assert store.state(CELL.id, IDENTITY) == CellState(State.DONE)


@pytest.mark.parametrize("found", [0, 2, None])
def test_another_schema_version_is_refused_with_both_versions(
    store: RunStore, found: int | None
) -> None:
    finish(store)
    path = store.cell_folder(CELL.id) / "result.json"
    values = json.loads(path.read_text()) | {"schema_version": found}
    path.write_text(json.dumps(values))
    with pytest.raises(UserError) as caught:
        store.state(CELL.id, IDENTITY)
    assert f"{path} has schema version {found}, and this lwft-bench reads 1" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 1, "status": "fine"}'])
def test_a_broken_result_is_named(store: RunStore, text: str) -> None:
    finish(store)
    path = store.cell_folder(CELL.id) / "result.json"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        store.read_result(CELL.id)


def test_the_suite_is_kept_and_results_come_in_its_order(store: RunStore) -> None:
    names = ("b", "a", "c")
    assert store.write_suite(record_of(*names), "name: s\n")
    assert not store.write_suite(record_of(*names), "name: s\n")
    assert store.read_suite() == record_of(*names)
    assert (store.directory / "suite.yaml").read_text() == "name: s\n"
    for name in ("a", "b"):
        finish(store, cell=make_cell(name))
    assert [result.cell for result in store.results()] == ["b", "a"]


def test_another_suite_is_refused_and_leaves_the_first(store: RunStore) -> None:
    store.write_suite(record_of("a"), "name: s\n")
    with pytest.raises(UserError, match="holds a run of suite `s`, not `other`"):
        store.write_suite(record_of("a", suite="other"), "name: other\n")
    assert store.read_suite().name == "s"


def test_a_directory_without_a_run_is_refused(store: RunStore) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        store.read_suite()


def test_rows_of_a_cell(store: RunStore) -> None:
    finish(store)
    assert store.samples(CELL.id) == store.steps(CELL.id) == []
    assert store.selections(CELL.id) == (SelectionHeader(), [])
    folder = store.cell_folder(CELL.id)
    steps = [
        StepRow(step=-1, loss=3.0, lr=0.0, tokens=9, target_tokens=4, period=-1, flops=8),
        StepRow(step=0, loss=2.0, lr=0.1, tokens=9, target_tokens=4, period=0, validation_loss=2.5),
    ]
    unit = UnitRow(index=0, kind="layer", depth=0, num_parameters=5)
    header = SelectionHeader(units=(unit,), probing_steps=1)
    selections = [SelectionRow(step=0, num_steps=2, units=(0,), scores=(0.5,), ages=(3,))]
    write_rows(folder / "steps.jsonl", steps)
    write_rows(folder / "selections.jsonl", (header, *selections))
    assert store.steps(CELL.id) == steps
    assert store.selections(CELL.id) == (header, selections)


def test_rows_are_valid_json_that_leaves_out_what_there_is_not(store: RunStore) -> None:
    finish(store)
    folder = store.cell_folder(CELL.id)
    row = SelectionRow(step=0, num_steps=2, units=(0,), scores=(float("nan"), 1.0))
    write_rows(folder / "selections.jsonl", (SelectionHeader(), row))
    (_, line) = (folder / "selections.jsonl").read_text().splitlines()
    assert line == '{"step": 0, "num_steps": 2, "units": [0], "scores": [null, 1.0]}'
    (read,) = store.selections(CELL.id)[1]
    assert read.scores and math.isnan(read.scores[0]) and read.scores[1] == 1.0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"step": 0}\n', "steps.jsonl:1: not a StepRow: lr: Field required"),
        (b"\n", "steps.jsonl:1: not a StepRow: Invalid JSON"),
        (b"\xff\n", "steps.jsonl:1: cannot be read: not UTF-8"),
        (b'{"step": 0, "lr": 1e999}\n', "steps.jsonl:1: not a StepRow: 1e999 is larger than"),
    ],
)
def test_a_damaged_row_is_named(store: RunStore, content: bytes, told: str) -> None:
    finish(store)
    (store.cell_folder(CELL.id) / "steps.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(told)):
        store.steps(CELL.id)


def test_a_selection_of_a_unit_that_there_is_not_is_named(store: RunStore) -> None:
    finish(store)
    path = store.cell_folder(CELL.id) / "selections.jsonl"
    unit = UnitRow(index=0, kind="layer", depth=0, num_parameters=8)
    row = SelectionRow(step=0, num_steps=2, units=(1,))
    write_rows(path, (SelectionHeader(units=(unit,)), row))
    with pytest.raises(UserError, match=r"selections\.jsonl:2: .* there are 1 units in line 1"):
        store.selections(CELL.id)


EVALUATED = {"config": "1", "strategy": "1", "evaluation": "1"}
SCORED = SimpleNamespace(digest="c" * 64, components=EVALUATED)
OTHERWISE = SimpleNamespace(digest="d" * 64, components=EVALUATED | {"evaluation": "2"})
RETRAINED = SimpleNamespace(
    digest="e" * 64, components=EVALUATED | {"evaluation": "2", "config": "2"}
)


def scored(store: RunStore, *, keeps: bool) -> None:
    store.begin(CELL, SCORED, threads=1)
    folder = store.work_folder(CELL.id)
    if keeps:
        (folder / "model").mkdir()
    result = result_of(CELL, SCORED.digest, "done")
    write_result(folder, result.model_copy(update={"identity_components": EVALUATED}))
    store.publish(CELL.id)


def test_where_evaluation_alone_changed_kept_weights_are_scored(store: RunStore) -> None:
    scored(store, keeps=True)
    assert store.state(CELL.id, OTHERWISE) == CellState(State.UNSCORED, ("evaluation",))
    assert store.state(CELL.id, RETRAINED).state is State.STALE
    assert store.begin(CELL, OTHERWISE, threads=3).digest == OTHERWISE.digest
    work = store.work_folder(CELL.id)
    assert (work / "trained.json").exists() and (work / "model").is_dir()
    assert not store.cell_folder(CELL.id).exists()
    # Killed now, the same command scores it; another suite trains it, or scores it otherwise.
    assert store.state(CELL.id, OTHERWISE).state is State.UNSCORED
    assert store.state(CELL.id, SCORED).state is State.UNSCORED
    assert store.state(CELL.id, RETRAINED).state is State.STALE
    store.begin(CELL, OTHERWISE, threads=3)
    result = result_of(CELL, OTHERWISE.digest, "failed")
    write_result(work, result.model_copy(update={"identity_components": OTHERWISE.components}))
    store.publish(CELL.id)
    assert store.state(CELL.id, OTHERWISE).state is State.FAILED
    store.begin(CELL, OTHERWISE, threads=3)
    assert (work / "trained.json").exists() and (work / "failure.json").exists()
    write_result(work, result.model_copy(update={"status": "done"}))
    store.publish(CELL.id)
    assert not (store.cell_folder(CELL.id) / "trained.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "seed": 0, "seed": 0}',
        b'{"schema_version": 1, "average": 1e999}',
        b'{"schema_version": 1, "average": NaN}',
    ],
)
def test_a_damaged_result_is_set_aside_and_made_again(store: RunStore, content: bytes) -> None:
    finish(store)
    (store.cell_folder(CELL.id) / "result.json").write_bytes(content)
    found = store.state(CELL.id, IDENTITY)
    assert found.state is State.DAMAGED and "result.json" in found.changed[0]
    store.archive(CELL.id)
    assert store.state(CELL.id, IDENTITY).state is State.NEW
    assert len(list((store.directory / "stale").iterdir())) == 1


def test_a_cell_without_its_record_is_set_aside_too(store: RunStore) -> None:
    finish(store)
    (store.cell_folder(CELL.id) / "identity.json").unlink()
    store.archive(CELL.id)
    assert (store.directory / "stale" / f"{CELL.id}--damaged").is_dir()
    (store.work_folder(CELL.id) / "checkpoint-000010").mkdir(parents=True)
    assert store.state(CELL.id, IDENTITY).state is State.DAMAGED


def test_a_damaged_result_of_a_run_that_died_does_not_end_the_next(store: RunStore) -> None:
    store.begin(CELL, IDENTITY, threads=1)
    (store.work_folder(CELL.id) / "result.json").write_text("{")
    store.recover()
    assert store.state(CELL.id, IDENTITY).state is State.NEW


def test_results_leave_out_what_cannot_be_read(store: RunStore) -> None:
    store.write_suite(record_of(CELL.id, "other"), "name: s\n")
    finish(store)
    finish(store, cell=make_cell("other"))
    (store.cell_folder("other") / "result.json").write_text("{")
    assert [result.cell for result in store.results()] == [CELL.id]


def test_without_its_weights_a_cell_trains_again(store: RunStore) -> None:
    scored(store, keeps=False)
    assert store.state(CELL.id, OTHERWISE) == CellState(State.STALE, ("evaluation",))


def test_killed_before_the_old_result_is_set_aside(store: RunStore) -> None:
    scored(store, keeps=True)
    store.cell_folder(CELL.id).rename(store.work_folder(CELL.id))
    store.recover()
    assert store.state(CELL.id, SCORED).state is State.DONE


def test_an_infinite_option_survives_in_the_config(store: RunStore) -> None:
    cell = make_cell(temperature=float("inf"))
    finish(store, cell=cell)
    assert store.config(cell.id) == cell
    assert plain_ablation(cell.ablation) == {"strategy.temperature": "inf"}


def _not_strict(constant: str) -> None:
    raise ValueError(constant)


def test_a_config_is_strict_json_and_one_of_before_is_read(store: RunStore) -> None:
    cell = make_cell(temperature=-math.inf)
    cell = cell.model_copy(
        update={"ablation": {**cell.ablation, "b": [math.inf], '"Infinity': "\\"}}
    )
    finish(store, cell=cell)
    path = store.cell_folder(cell.id) / "config.json"
    values = json.loads(path.read_text(), parse_constant=_not_strict)
    assert values["ablation"] == cell.ablation
    assert store.config(cell.id) == cell
    path.write_text(cell.model_dump_json(indent=2))  # with bare constants
    assert "-Infinity" in path.read_text()
    assert store.config(cell.id) == cell


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json_atomic(path, {"value": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, {"value": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write_text_atomic(path, "x" * 10**6 + "\udc80")
    assert json.loads(path.read_text()) == {"value": 1.0}
