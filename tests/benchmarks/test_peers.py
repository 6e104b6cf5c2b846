"""What the comparison with other trainers is made of, without them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import setting as setting_module
from benchmarks.peers.page import Middle, page
from benchmarks.peers.peers import BASELINE, NOTES, PEERS
from benchmarks.peers.setting import METHODS, Setting, cell_of, make_setting
from benchmarks.peers.sizes import EPS, SIZES
from benchmarks.peers.turns import Turns
from lwft_bench.data.examples import Example
from lwft_bench.schema.errors import UserError

FOLDER = Path(setting_module.__file__).parent


def test_the_bare_loop_is_short() -> None:
    lines = (FOLDER / "bare_loop.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60


def test_what_peers_refer_to_exists() -> None:
    assert BASELINE in PEERS
    for peer in PEERS.values():
        assert peer.nearest is None or peer.nearest in PEERS
        assert set(peer.notes) <= NOTES.keys()
        if peer.weights:
            assert f"{peer.weights}-padded" in PEERS
    ours = {name for name in PEERS if name.endswith(("-padded", "-packed"))}
    assert ours == {f"{method}-{how}" for method in METHODS for how in ("padded", "packed")}


def test_intervals_have_the_median_as_often_as_they_say() -> None:
    assert Middle.of([3.0, 1.0, 2.0]) == Middle(2.0, None, None)
    ten = Middle.of([float(value) for value in range(10)])
    assert ten == Middle(4.5, 1.0, 8.0)  # 97.9 %; one further in 89 %
    assert Middle.of([float(value) for value in range(6)]) == Middle(2.5, 0.0, 5.0)
    assert ten.told(lambda value: f"{value:.1f}") == "4.5 [1.0, 8.0]"


def made_up(seconds: float, number: int, peer: str) -> dict[str, Any]:
    return {
        "size": "embedded",
        "peer": peer,
        "pair": number,
        "turn": 0,
        "seconds": seconds,
        "processor_seconds": seconds / 2,
        "waiting_seconds": seconds / 2,
        "tokens": 100,
        "base_bytes": 2**28,
        "peak_bytes": 2**29,
        "device_bytes": None,
        "switches": 0,
    }


def test_a_table_has_ratios_by_round_and_tells_of_load() -> None:
    rows = [made_up(2.0 + n, n, BASELINE) for n in range(10)]
    rows += [made_up((2.0 + n) / 2, n, "fft-packed") for n in range(10)]
    about = {
        "pairs": 10,
        "steps": 1,
        "machine": "1 × none",
        "versions": {"torch": "0"},
        "wall_seconds": 60.0,
        "sizes": {
            "embedded": {
                "parameters": 1_700_000,
                "layers": 8,
                "batch_size": 4,
                "median_length": 200,
                "longest": 480,
                "padding": 0.35,
                "load": [1.0, 2.0],
                "differences": {"fft-packed": 0.01},
            }
        },
        "first": [
            {"size": "embedded", "peer": peer, "why": why}
            | {"until_first_step": 9.0, "processor_until_first_step": 5.0}
            for peer, why in ((BASELINE, ""), ("fft-packed", ""), ("trl", "no such | module"))
        ],
    }
    text = page(rows, about)
    (line,) = (
        one for one in text.splitlines() if one.startswith("| **lwft-bench fft**, packed | 3")
    )
    assert "2.00 [2.00, 2.00]" in line and "512 MiB (256)" in line
    assert "did not run: no such / module" in text
    assert "waited for a processor in 50.0% of its time ‡" in text


def test_the_committed_table_is_that_of_the_committed_turns() -> None:
    about = json.loads((FOLDER / "about.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader(io.StringIO((FOLDER / "turns.csv").read_text(encoding="utf-8"))))
    assert page(rows, about) == (FOLDER / "results.md").read_text(encoding="utf-8")
    assert about["pairs"] >= 10 and about["sizes"].keys() <= SIZES.keys()


def test_without_data_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LWFT_BENCH_DATA", raising=False)
    with pytest.raises(UserError, match="no mawps/trainset.json below the folder"):
        make_setting(SIZES["embedded"], tmp_path, 2)


def test_a_setting_is_one_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in this trainer's order, the suite that it reads, labels from the prompt on."""
    words = ["apples and pears. " * (1 + number % 7) for number in range(200)]
    examples = [Example(prompt=f"Count: {text}\n", target=f"{n}.") for n, text in enumerate(words)]
    monkeypatch.setattr(setting_module, "_examples", lambda number: examples[:number])
    size = replace(SIZES["llama-6m"], hidden=64, layers=3, vocabulary=300, batch_size=4)
    made = make_setting(size, tmp_path, 5)
    assert (
        made == Setting.read(tmp_path) or list(map(tuple, Setting.read(tmp_path).rows)) == made.rows
    )
    assert len(made.rows) == 20 and len(set(map(len, made.selections))) == 1
    assert made.tokens == [
        sum(len(ids) for ids, _ in made.rows[at : at + 4]) for at in range(0, 20, 4)
    ]
    ids, prompt = made.rows[0]
    assert made.labels(0) == [-100] * prompt + ids[prompt:]
    cell = cell_of(made.suite, "grass", "training.batching=packed")
    assert cell.method.optimizer.options["eps"] == EPS
    assert cell.training.batching == "packed" and cell.training.schedule == "constant"


def test_turns_answer_orders_and_save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = io.StringIO()
    turns = Turns(answers, lambda step: 10 + step)
    saved: list[Path] = []
    turns.save = saved.append
    monkeypatch.setenv("PEERS_STARTED", "0")
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\nsomewhere\n3\n"))
    turns.ready_to_load()
    turns.step_done()
    for _ in range(2):
        turns.step_done()
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [one.get("tokens") for one in told] == [10, 23, None]
    assert "until_first_step" in told[0] and "until_first_step" not in told[1]
    assert told[2] == {"saved": "somewhere"} and saved == [Path("somewhere")]
