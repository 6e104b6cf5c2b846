"""The whole report, written from files."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.report import terminal_summary, write_report
from lwft_bench.reporting.tables_over_runs import print_table
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker

PNG = b"\x89PNG\r\n\x1a\n"


def test_report_is_complete_and_never_imports_torch(maker: RunMaker) -> None:
    run = maker.fill()
    program = (
        "import sys; from pathlib import Path\n"
        "from lwft_bench.reporting.report import write_report\n"
        "print(write_report(Path(sys.argv[1])))\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets', 'scipy.stats', 'matplotlib.pyplot'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == run / "report.md"
    text = (run / "report.md").read_text()
    for heading in (
        "Differences",
        "What differs",
        "Engagement",
        "Memory",
        "Training",
        "Provenance",
    ):
        assert re.search(f"^##+ {heading}", text, re.MULTILINE), heading
    linked = re.findall(r"!\[[^]]*\]\((\S+)\)", text)
    assert len(linked) == 8
    assert all((run / path).read_bytes().startswith(PNG) for path in linked)
    assert {path.suffix for path in (run / "tables").iterdir()} == {".md", ".tex", ".csv"}
    assert not list(run.rglob("*.partial"))


def test_a_second_report_replaces_the_first(maker: RunMaker) -> None:
    method = maker.method("fft", 0.5)
    maker.add(method, 0)
    maker.plan(maker.cell(method, 1))
    first = write_report(maker.finish()).read_text()
    assert "1 of 2 cells are done (1 not run)." in first
    maker.planned.pop()
    maker.add(method, 1)
    second = write_report(maker.finish()).read_text()
    assert "All cells are done (2)." in second
    assert write_report(maker.folder).read_text() == second


@pytest.mark.parametrize("state", ["base only", "all failed", "nothing run"])
def test_a_run_in_any_state_has_a_report(maker: RunMaker, state: str) -> None:
    if state == "base only":
        maker.add(maker.method("base", 0.1, trains=False), 0)
    elif state == "all failed":
        for seed in (0, 1):
            maker.fail(maker.method("fft", 0.5), seed, "crashed", "killed by signal 9")
    else:
        maker.plan(maker.cell(maker.method("fft", 0.5), 0))
    text = write_report(maker.finish()).read_text()
    for planned in maker.planned:
        assert planned.id in text


def test_csv_has_plain_numbers_of_every_model(maker: RunMaker) -> None:
    for model in ("tiny", "small"):
        for seed in (0, 1):
            maker.add(maker.method("fft", 0.5), seed, model=model)
    frame = pd.read_csv(io.StringIO(print_table(maker.finish(), "csv")))
    assert frame["model"].tolist() == ["tiny", "small"]
    assert frame["average"].between(0.3, 0.7).all()
    assert frame["peak_memory_bytes"].tolist() == [40 * 2**20] * 2


def test_an_unknown_table_names_those_there_are(run: Path) -> None:
    with pytest.raises(UserError, match="confounds"):
        print_table(run, "markdown", "mian")


def test_a_table_without_content_is_an_error(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    with pytest.raises(UserError, match="ablations"):
        print_table(maker.finish(), "markdown", "ablations")


def test_a_terminal_shows_averages_without_notes(run: Path) -> None:
    text = terminal_summary(run)
    header = text.splitlines()[2]
    assert "average" in header
    assert "peak memory" in header
    assert "add-sub" not in text
    assert "Accuracy:" not in text


def test_commands_in_a_report_can_be_typed(tmp_path: Path, maker: RunMaker) -> None:
    maker.folder = tmp_path / "my run's"
    maker.add(maker.method("fft", 0.5), 0)
    text = write_report(maker.finish()).read_text()
    typed = [
        shlex.split(line.partition("   #")[0]) for line in text.splitlines() if "   # " in line
    ]
    assert ["lwft-bench", "run", "my run's/suite.yaml", "--out", "again"] in typed
    assert ["lwft-bench", "report", "my run's"] in typed
    assert ["lwft-bench", "table", "my run's", "--format", "latex"] in typed


def _reporting(run: Path, before: str = "") -> subprocess.Popen[str]:
    command = (
        f"{before} exec {shlex.join([sys.executable, '-m', 'lwft_bench', 'report', str(run)])}"
    )
    return subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_no_room_for_a_report_is_one_message_and_leaves_the_old_one(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    run = maker.finish()
    old = write_report(run).read_bytes()
    process = _reporting(run, "ulimit -f 1;")  # files of one kilobyte, like a disk that is full
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in told
    (line,) = [each for each in told.splitlines() if "File too large" in each]
    assert line.startswith(str(run))
    assert (run / "report.md").read_bytes() == old
    assert not list(run.rglob("*.partial"))


@pytest.mark.parametrize(("key", "value"), [("seed", 1), ("cell", "other"), ("method", "lora")])
def test_a_result_of_another_cell_costs_its_row(maker: RunMaker, key: str, value: object) -> None:
    folder = maker.add(maker.method("fft", 0.5), 0)
    maker.add(maker.method("fft", 0.5), 1)
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    table = print_table(maker.finish(), "markdown", "main")
    (error,) = [cell.error for cell in read_run(maker.folder).cells if cell.status == "unreadable"]
    assert error.startswith(f"{path}: {key}: expected ")
    assert "fft" in table


@pytest.mark.parametrize("torn", ["twice", "missing", "renamed"])
def test_samples_that_are_not_those_of_the_scores_cost_the_row(maker: RunMaker, torn: str) -> None:
    path = maker.add(maker.method("fft", 0.5), 0) / "samples.jsonl"
    maker.add(maker.method("fft", 0.5), 1)
    lines = path.read_text().splitlines(keepends=True)
    name = json.loads(lines[2])["benchmark"]
    lines[2:3] = {
        "twice": [lines[2], lines[2]],
        "missing": [],
        "renamed": [lines[2].replace(name, "other", 1)],
    }[torn]
    path.write_text("".join(lines))
    assert "fft" in print_table(maker.finish(), "markdown", "main")
    (error,) = [cell.error for cell in read_run(maker.folder).cells if cell.status == "unreadable"]
    assert error.startswith(f"{path}:4: item" if torn == "twice" else f"{path}: {name}: expected ")


def test_a_suite_that_has_a_cell_twice_is_damaged(maker: RunMaker) -> None:
    maker.add(maker.method("fft", 0.5), 0)
    path = maker.finish() / "suite.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"cells": record["cells"] * 2}))
    with pytest.raises(UserError, match=r"(?s)suite\.json .* twice: tiny--fft--arith--seed0"):
        print_table(maker.folder, "markdown", "main")


@pytest.mark.slow
def test_four_reports_at_once_do_not_disturb_one_another(maker: RunMaker) -> None:
    for seed in (0, 1):
        maker.add(maker.method("fft", 0.5), seed)
    run = maker.finish()
    write_report(run)
    alone = _written(run)
    # Drawn once each and written often, so that they do meet.
    program = (
        "import sys; from pathlib import Path; from lwft_bench.reporting import report\n"
        "MAKE = report._make\n"
        "def once(make, made): return lambda given: made or made.append(make(given)) or made\n"
        "context, make = once(report.Context.of, []), once(lambda one: MAKE(one, None), [])\n"
        "report.Context.of = lambda records: context(records)[0]\n"
        "report._make = lambda context, for_print: make(context)[0]\n"
        "for _ in range(10): report.write_report(Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", program, str(run)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        _, told = process.communicate(timeout=240)
        assert (process.returncode, told) == (0, "")
    assert _written(run) == alone


def _written(run: Path) -> dict[str, bytes]:
    paths = [run / "report.md", *(run / "figures").iterdir(), *(run / "tables").iterdir()]
    return {path.name: path.read_bytes() for path in paths}
