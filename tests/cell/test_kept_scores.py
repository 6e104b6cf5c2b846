"""Answers of untrained models that runs keep for one another."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lwft_bench.cell import kept_scores, scoring
from lwft_bench.cell.kept_scores import KeptAnswer, KeptScores, NotTaken, keep, take
from lwft_bench.cell.run import run_cell
from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.caches import scores_folder
from lwft_bench.data.examples import Item
from lwft_bench.evaluation import harness
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.results.reading import read_result_file
from lwft_bench.schema.cell import Cell
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.events import Noted
from lwft_bench.schema.result import CellResult, EarlierEvaluation
from lwft_bench.schema.run import CellRecord, digest_of
from lwft_bench.suites.identity import identify
from tests.cell.test_run import cell

ITEMS = {load_benchmark("add-sub"): [Item("add-sub-0", "1 + 1?", "2"), Item("add-sub-1", "?", "3")]}
FACTS: dict[str, Any] = {"weights": "a", "device": {"threads": 1, "name": None}}


def made(facts: dict[str, Any] = FACTS, response: str = "<b>two</b> é\n") -> KeptScores:
    origin = EarlierEvaluation(
        run="arith", cell="m--base--t--seed0", finished="2026-01-02T03:04:05+00:00",
        seconds=1.5, key=digest_of(facts),
    )  # fmt: skip
    answers = [
        KeptAnswer(benchmark="add-sub", id=item.id, response=response, prediction=None, correct=ok)
        for item, ok in zip(*ITEMS.values(), (True, False), strict=True)
    ]
    return KeptScores(facts=facts, origin=origin, rows_together="any", engine=None, answers=answers)


def file_in(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_is_kept_is_taken_under_the_same_facts_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down"
    assert take(folder, FACTS, ITEMS) is None
    keep(folder, made())
    assert take(folder, FACTS | {"weights": "b"}, ITEMS) is None
    found = take(folder, FACTS, ITEMS)
    assert found is not None
    kept, samples = found
    assert kept == made()
    assert [(one.prompt, one.answer, one.correct) for one in samples] == [
        ("1 + 1?", "2", True),
        ("?", "3", False),
    ]
    assert b"1 + 1?" not in gzip.decompress(file_in(folder).read_bytes()), "a benchmark's text"


def test_a_file_that_was_cut_or_has_another_byte_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, made())
    file = file_in(tmp_path)
    whole = file.read_bytes()
    for size in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(NotTaken):
            take(tmp_path, FACTS, ITEMS)
    for place in range(10, len(whole), 7):  # behind the header, whose bytes say nothing of content
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(NotTaken):
            take(tmp_path, FACTS, ITEMS)
    keep(tmp_path, made())
    assert file.read_bytes() == whole


def _without_an_answer(value: dict[str, Any]) -> None:
    value["answers"].pop()


def _one_twice(value: dict[str, Any]) -> None:
    value["answers"][1] = value["answers"][0]


CONTENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "other facts": lambda value: value["facts"].update(weights="b"),
    "another key": lambda value: value["origin"].update(key="0"),
    "an answer less": _without_an_answer,
    "an answer twice": _one_twice,
    "another item": lambda value: value["answers"][0].update(id="add-sub-9"),
    "no truth": lambda value: value["answers"][0].update(correct="perhaps"),
    "a key more": lambda value: value.update(more=1),
    "a key less": lambda value: value.pop("engine"),
    "a run whose name is a book": lambda value: value["origin"].update(run="x" * 999),
    "a date that is markup": lambda value: value["origin"].update(finished="<b>|x"),
    "less time than none": lambda value: value["origin"].update(seconds=-1e300),
    "a cell that leads elsewhere": lambda value: value["origin"].update(cell="../../elsewhere"),
}


@pytest.mark.parametrize("change", CONTENTS.values(), ids=CONTENTS.keys())
def test_content_that_is_not_of_this_key_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    keep(tmp_path, made())
    file = file_in(tmp_path)
    value = json.loads(gzip.decompress(file.read_bytes()))
    change(value)
    file.write_bytes(gzip.compress(json.dumps(value).encode()))
    with pytest.raises(NotTaken) as raised:
        take(tmp_path, FACTS, ITEMS)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"\x80\x04N.", b"{" * 9999, b'{"facts": NaN}'])
def test_what_is_no_such_json_is_refused(tmp_path: Path, text: bytes) -> None:
    keep(tmp_path, made())
    file_in(tmp_path).write_bytes(gzip.compress(text))
    with pytest.raises(NotTaken):
        take(tmp_path, FACTS, ITEMS)


def test_links_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    keep(tmp_path / "kept", made())
    file = file_in(tmp_path / "kept")
    file.rename(tmp_path / "elsewhere")
    for make in (
        lambda: file.symlink_to(tmp_path / "elsewhere"),
        lambda: file.symlink_to(tmp_path / "nowhere"),
        lambda: os.mkfifo(file),
        lambda: file.mkdir(),
    ):
        make()
        with pytest.raises(NotTaken):
            take(tmp_path / "kept", FACTS, ITEMS)
        file.rmdir() if file.is_dir() else file.unlink()


def test_without_a_place_to_write_to_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    keep(tmp_path / "file" / "folder", made())
    keep(tmp_path / "file", made())
    assert take(tmp_path / "file", FACTS, ITEMS) is None

    def full(*arguments: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    keep(tmp_path / "kept", made())
    assert list((tmp_path / "kept").iterdir()) == [], "nothing half-written is left"


def test_files_that_were_used_least_recently_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [FACTS | {"weights": str(number)} for number in range(4)]
    for number, one in enumerate(facts[:3]):
        keep(tmp_path, made(one))
        os.utime(kept_scores._path(tmp_path, one), (number, number))
    others = [tmp_path / "notes.txt", tmp_path / f".{'0' * 64}.json.gz-{'1' * 32}.partial"]
    left_behind = tmp_path / f".{'0' * 64}.json.gz-{'2' * 32}.partial"
    for path in (*others, left_behind):
        path.write_text("x" * 10_000)
    os.utime(left_behind, (0, 0))
    assert take(tmp_path, facts[0], ITEMS), "the first is used now"
    size = kept_scores._path(tmp_path, facts[0]).stat().st_size
    monkeypatch.setattr(kept_scores, "MAX_KEPT_BYTES", 2.5 * size)
    keep(tmp_path, made(facts[3]))
    assert [take(tmp_path, one, ITEMS) is not None for one in facts] == [True, False, False, True]
    assert all(path.exists() for path in others) and not left_behind.exists()


SCRIPT = """
import sys
from pathlib import Path
from lwft_bench.cell.kept_scores import KeptScores, keep, take
from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.examples import Item
assert "torch" not in sys.modules, "it would be slow"
folder, kept = Path(sys.argv[1]), KeptScores.model_validate_json(sys.argv[2])
asked = {load_benchmark("add-sub"): [Item(one.id, "", "") for one in kept.answers]}
while not (folder / "go").exists():
    (folder / sys.argv[3]).touch()
for number in range(100):
    keep(folder / "kept", kept)
    assert take(folder / "kept", kept.facts, asked)  # NotTaken, were it ever half there
"""


def test_processes_may_write_and_read_at_once(tmp_path: Path) -> None:
    kept = made(response="x" * 20_000).model_dump_json()
    processes = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), kept, name])
        for name in ("one", "two")
    ]
    while len(list(tmp_path.iterdir())) < 2 and not any(one.poll() for one in processes):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_where_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scores_folder() is None, "tests keep none"
    monkeypatch.setenv("LWFT_BENCH_SCORES", str(tmp_path))
    assert scores_folder() == tmp_path
    monkeypatch.delenv("LWFT_BENCH_SCORES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert scores_folder() == tmp_path / "lwft-bench" / "scores"
    monkeypatch.setenv("LWFT_BENCH_SCORES", "~nobody-of-this-name/x")
    with pytest.raises(UserError, match="no home folder is known for '~nobody"):
        scores_folder()


# Of whole cells.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scores are kept."""
    monkeypatch.setenv("LWFT_BENCH_SCORES", str(tmp_path / "scores"))
    return tmp_path / "scores"


def ran(
    run: Path, one: Cell, events: list[Any] | None = None, reuse: bool = True
) -> tuple[CellResult, bytes]:
    work = run / "work" / one.id
    work.mkdir(parents=True)
    components = {"model": identify(one).components["model"]}
    record = CellRecord(digest="0", components=components, threads=1)
    write_json_atomic(work / "identity.json", record.model_dump(mode="json"))
    told = [] if events is None else events
    run_cell(one, work, told.append, lambda: False, reuse=reuse)
    return read_result_file(work / "result.json"), (work / "samples.jsonl").read_bytes()


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each evaluation."""
    counted: list[object] = []
    evaluate = harness.evaluate

    def counting(*arguments: Any, **options: Any) -> Any:
        counted.append(options["profile"])
        return evaluate(*arguments, **options)

    monkeypatch.setattr(scoring, "evaluate", counting)
    return counted


def test_a_second_run_has_the_scores_and_samples_of_the_first(
    tmp_path: Path, folder: Path, evaluations: list[object]
) -> None:
    first, samples = ran(tmp_path / "first", cell("base"))
    file = file_in(folder)
    content = file.read_bytes()
    other = cell("base").model_copy(update={"id": "x--base--y--seed3", "seed": 3})
    again, samples_again = ran(tmp_path / "again", other)
    assert len(evaluations) == 1
    assert samples_again == samples
    assert json.dumps([one.model_dump() for one in again.scores]) == json.dumps(
        [one.model_dump() for one in first.scores]
    )
    assert (again.average, again.confounds, again.weights_digest) == (
        first.average,
        first.confounds,
        first.weights_digest,
    )
    origin = again.scores_from
    assert first.scores_from is None and origin is not None
    assert (origin.run, origin.cell) == ("first", first.cell)
    assert origin.key + ".json.gz" == file.name
    assert 0 < origin.seconds <= first.phase_seconds["evaluate"]
    assert again.phase_seconds.keys() == {"load"}, "nothing was evaluated"
    assert file.read_bytes() == content, "what is taken is not kept again"


def test_samples_have_the_overlap_with_the_cells_own_data(
    tmp_path: Path, folder: Path, evaluations: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lwft_bench.cell import loading

    _, clean = ran(tmp_path / "a", cell("base"))
    first = json.loads(clean.splitlines()[0])["id"]
    monkeypatch.setattr(loading, "_overlap", lambda *arguments: {first: "exact"})
    _, samples = ran(tmp_path / "b", cell("base"))
    assert len(evaluations) == 1
    rows = [json.loads(line) for line in samples.splitlines()]
    assert [row["overlap"] for row in rows] == ["exact"] + [None] * (len(rows) - 1)


def test_a_damaged_file_costs_an_evaluation_and_is_told_and_renewed(
    tmp_path: Path, folder: Path, evaluations: list[object]
) -> None:
    first, samples = ran(tmp_path / "a", cell("base"))
    file = file_in(folder)
    file.write_bytes(file.read_bytes()[:-9])
    events: list[Any] = []
    second, samples_again = ran(tmp_path / "b", cell("base"), events)
    assert len(evaluations) == 2 and samples == samples_again
    assert (second.scores, second.scores_from) == (first.scores, None)
    assert "gzip" in str(second.scores_not_taken)
    assert [event for event in events if isinstance(event, Noted) and "kept" in event.text]
    third, _ = ran(tmp_path / "c", cell("base"))
    assert len(evaluations) == 2
    assert third.scores_from is not None and third.scores_from.run == "b"
    assert third.scores_not_taken is None


def test_a_cell_that_is_to_answer_itself_does_and_renews_what_is_kept(
    tmp_path: Path, folder: Path, evaluations: list[object]
) -> None:
    ran(tmp_path / "a", cell("base"))
    own, _ = ran(tmp_path / "b", cell("base"), reuse=False)
    assert len(evaluations) == 2 and own.scores_from is None
    after, _ = ran(tmp_path / "c", cell("base"))
    assert after.scores_from is not None and after.scores_from.run == "b"


def test_nothing_is_kept_of_trained_models_and_where_that_is_off(
    tmp_path: Path, folder: Path, evaluations: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(tmp_path / "trained", cell("fft", steps=1))
    assert not folder.exists()
    monkeypatch.setenv("LWFT_BENCH_SCORES", "")
    ran(tmp_path / "a", cell("base"))
    ran(tmp_path / "b", cell("base"))
    assert len(evaluations) == 3


def test_a_folder_that_cannot_be_written_to_costs_nothing_but_reuse(
    tmp_path: Path, folder: Path, evaluations: list[object]
) -> None:
    folder.write_text("a file")
    results = [ran(tmp_path / run, cell("base"))[0] for run in "ab"]
    assert len(evaluations) == 2
    assert [one.status for one in results] == ["done"] * 2
    assert results[0].scores == results[1].scores
