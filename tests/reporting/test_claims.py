"""Verdicts on claims, from made-up runs and plans."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from lwft_bench.cli import app
from lwft_bench.reporting.claims_of_runs import judge_claims
from lwft_bench.reporting.numbers.claim_metrics import Assessed
from lwft_bench.reporting.read.statements import read_claims
from lwft_bench.reporting.report import write_report
from lwft_bench.reporting.tables.claims import holds_if
from lwft_bench.schema.claims import Claim
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from conftest import RunMaker

ONE = {"name": "c", "says": "so", "kind": "accuracy_difference", "of": "fft", "against": "lisa"}


def file_of(folder: Path, *claims: dict[str, Any]) -> str:
    path = folder / "claims.yaml"
    path.write_text(json.dumps({"claims": list(claims)}), "utf-8")
    return str(path)


def judged(runs: list[Path], folder: Path, **claim: Any) -> Assessed:
    (found,) = judge_claims(runs, file_of(folder, ONE | claim)).assessed
    return found


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ({"above": 0}, "supported"),
        ({"below": 0}, "contradicted"),
        ({"above": 12}, "undecided"),
        ({"above": 0, "benchmark": "add-sub"}, "undecided"),
        ({"kind": "memory_ratio", "above": 2, "below": 2.2}, "supported"),
        ({"kind": "memory_ratio", "below": 1}, "contradicted"),
        ({"kind": "memory_difference", "above": 0.02}, "supported"),
        ({"kind": "memory", "against": None, "below": 0.01}, "contradicted"),
        ({"kind": "throughput_ratio", "speed": "steady", "below": 0.9}, "supported"),
        ({"kind": "throughput_ratio", "speed": "end_to_end", "below": 0.9}, "undecided"),
        ({"kind": "equal_weights"}, "supported"),
        ({"kind": "rank", "against": None, "among": ["lisa", "lora"], "at_most": 1}, "supported"),
        (
            {"kind": "rank", "of": "lora", "against": None, "among": ["fft", "lisa"], "at_most": 1},
            "contradicted",
        ),
    ],
)
def test_each_kind_has_its_verdict(
    run: Path, tmp_path: Path, claim: dict[str, Any], verdict: str
) -> None:
    found = judged([run], tmp_path, **claim)
    assert found.verdict == verdict, found
    assert found.about == "tiny on arith"
    assert found.cells


def test_an_undecided_claim_says_what_it_would_take(run: Path, tmp_path: Path) -> None:
    found = judged([run], tmp_path, above=12)
    assert found.needed is not None
    assert found.needed.seeds >= 2
    assert found.needed.items > 1
    text = judge_claims([run], file_of(tmp_path, ONE | {"above": 12})).as_text()
    assert "would take: " in text
    assert "1 undecided" in text


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ({"against": "misa", "above": 0}, "none of these has done cells of fft and misa"),
        ({"model": "other", "above": 0}, "none of these has done cells of fft and lisa of other"),
        ({"of": "grass", "above": 0}, "grass is several rows"),
        (
            {"kind": "throughput_ratio", "speed": "end_to_end", "above": 1},
            "no seed of which both have a speed",
        ),
        ({"kind": "throughput_ratio", "above": 1}, "not timed against each other"),
    ],
)
def test_what_is_missing_is_said(
    run: Path, tmp_path: Path, claim: dict[str, Any], why: str
) -> None:
    found = judged([run], tmp_path, **claim)
    assert found.verdict == "undecided"
    assert why in found.why


def test_an_ablated_value_is_named(run: Path, tmp_path: Path) -> None:
    side = {"method": "grass", "ablation": {"strategy.temperature": 0.1}}
    assert judged([run], tmp_path, of=side, above=0).verdict == "supported"


def test_one_seed_decides_nothing(maker: RunMaker, tmp_path: Path) -> None:
    for name, accuracy in (("fft", 0.9), ("lisa", 0.1)):
        maker.add(maker.method(name, accuracy), 0)
    found = judged([maker.finish()], tmp_path, above=0)
    assert found.verdict == "undecided"
    assert found.why.startswith("one seed")
    assert found.estimate is not None


def test_other_weights_are_told_with_their_seed(maker: RunMaker, tmp_path: Path) -> None:
    for seed in (0, 1):
        maker.add(maker.method("fft", 0.5), seed)
        maker.add(maker.method("lisa", 0.5), seed, weights_digest=("ab" if seed else "cd") * 32)
    found = judged([maker.finish()], tmp_path, kind="equal_weights")
    assert found.verdict == "contradicted"
    assert found.why == "different weights with seed 0"


def test_cells_of_another_torch_are_not_subtracted(maker: RunMaker, tmp_path: Path) -> None:
    for seed in (0, 1):
        maker.add(maker.method("fft", 0.9), seed)
        maker.add(maker.method("lisa", 0.1), seed, provenance={"versions": {"torch": "1"}})
    found = judged([maker.finish()], tmp_path, above=0)
    assert found.verdict == "undecided"
    assert "not comparable" in found.why


def plan_of(folder: Path, **peaks: int) -> Path:
    cells = [
        {
            "id": f"big--{name}--arith--seed0",
            "model": "big",
            "method": name,
            "task": "arith",
            "seed": 0,
            "ablation": {},
            "peak_bytes": peak,
        }
        for name, peak in peaks.items()
    ]
    path = folder / "plan.json"
    path.write_text(json.dumps({"cells": cells, "refused": {}}))
    return path


def test_a_side_without_ablation_is_that_without_any_where_there_is_one(tmp_path: Path) -> None:
    longer = {"training.max_length": 1792}
    path = plan_of(tmp_path, fft=10**10, lisa=4 * 10**10)
    plan = json.loads(path.read_text())
    plan["cells"] += [
        cell | {"id": f"{cell['id']}--long", "ablation": longer, "peak_bytes": 2 * 10**10}
        for cell in plan["cells"]
    ]
    path.write_text(json.dumps(plan))
    assert judged([path], tmp_path, kind="memory_ratio", below=0.3).estimate == 0.25
    side = {"method": "lisa", "ablation": longer}
    found = judged([path], tmp_path, kind="memory", of=side, against=None, below=24)
    assert (found.verdict, found.estimate) == ("supported", 20.0)


def test_memory_may_be_planned(run: Path, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, fft=10**10, lisa=4 * 10**10)
    claim = {"kind": "memory_ratio", "below": 0.3}
    found = judged([plan], tmp_path, **claim)
    assert (found.verdict, found.why, found.about) == ("supported", "planned", "big on arith")
    assert found.estimate == 0.25
    assert judged([run, plan], tmp_path, **claim).verdict == "contradicted", "measured counts"
    assert judged([run, plan], tmp_path, evidence="planned", **claim).verdict == "supported"
    assert judged([plan], tmp_path, evidence="measured", **claim).verdict == "undecided"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("{", "not JSON"), ("{}", "cells: field required"), ('{"cells": [{"id": 1}]}', "cells[0].id")],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"plan\.json") as error:
        judge_claims([path], file_of(tmp_path, ONE | {"above": 0}))
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        ({}, "needs `above` or `below`"),
        ({"above": 2, "below": 1}, "nothing is above 2 and below 1"),
        ({"abve": 1}, "unknown key; did you mean 'above'?"),
        ({"kind": "memory", "below": 1}, "has no `against`"),
        ({"kind": "rank", "against": None}, "needs both"),
        ({"kind": "acuracy_difference", "above": 1}, "did you mean 'accuracy_difference'?"),
        ({"against": "fft", "above": 1}, "fft is compared with itself"),
        ({"above": "1"}, "above: expected a number, found '1'"),
    ],
)
def test_a_file_of_claims_is_checked(tmp_path: Path, claim: dict[str, Any], wanted: str) -> None:
    with pytest.raises(UserError) as error:
        read_claims(file_of(tmp_path, ONE | claim))
    assert wanted in str(error.value)
    assert "claims.yaml:1" in str(error.value)


def test_two_claims_have_two_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two claims are called c"):
        read_claims(file_of(tmp_path, ONE | {"above": 1}, ONE | {"above": 2}))


def test_the_exit_code_is_for_scripts(run: Path, tmp_path: Path) -> None:
    def code(*arguments: str, **claim: Any) -> int:
        file = file_of(tmp_path, ONE | claim)
        call = ["claims", str(run), "--claims", file, *arguments]
        return CliRunner().invoke(app, call).exit_code

    assert code(above=0) == 0
    assert code(below=0) == 1
    assert code(above=12) == 0
    assert code("--strict", above=12) == 1
    assert CliRunner().invoke(app, ["claims", str(run)]).exit_code != 0, "no claim at all"


def test_a_suites_claims_stand_in_its_report(maker: RunMaker) -> None:
    run = maker.fill()
    record = json.loads((run / "suite.json").read_text())
    says = "<b>Better</b> | [so](http://x)"
    record["claims"] = [Claim(**(ONE | {"above": 0, "says": says})).model_dump(mode="json")]
    (run / "suite.json").write_text(json.dumps(record))
    report = write_report(run).read_text()
    section = report.partition("## Claims")[2]
    assert "| c | tiny on arith | fft − lisa &gt; 0 points | supported |" in section
    assert "<b>" not in section
    (row,) = csv.DictReader(io.StringIO((run / "tables/claims.csv").read_text()))
    assert row["verdict"] == "supported"
    assert "tiny--fft--arith--seed0" in row["cells"]
    assert float(row["low"]) < float(row["estimate"]) < float(row["high"])


def test_published_claims_can_be_read_and_have_sources() -> None:
    claims = read_claims("paper/claims")
    assert len(claims) > 15
    assert all(claim.source for claim in claims)
    assert sum(bool(claim.ambiguous) for claim in claims) >= len(claims) - 1


def judged_of(maker: RunMaker, **claim: Any) -> Assessed:
    return judged([maker.finish()], maker.folder.parent, **claim)


def test_a_claim_rests_on_the_seeds_that_both_have(maker: RunMaker) -> None:
    for seed in range(3):
        maker.add(maker.method("fft", 0.5), seed)
    for seed in (1, 2, 4):
        maker.add(maker.method("lisa", 0.3), seed)
    one = judged_of(maker, kind="accuracy_difference", of="lisa", against="fft", below=0)
    assert [cell[-1] for cell in one.cells] == ["1", "2", "1", "2"]


def test_memory_of_other_data_is_no_ratio_and_another_cpu_does_not_count(maker: RunMaker) -> None:
    """Counted bytes are the same on every CPU, and not those of other data."""
    claim = {"kind": "memory_ratio", "of": "lisa", "against": "fft", "below": 0.9}
    maker.add(maker.method("fft", 0.5, 2000), 0)
    maker.add(maker.method("lisa", 0.5, 1000), 0, provenance={"cpu": "Another", "cores": 64})
    assert judged_of(maker, **claim).verdict == "supported"
    other = type(maker)(maker.folder.with_name("other"))
    components = {"protocol": "1", "data": "f" * 64, "model": "e" * 64}
    other.add(other.method("fft", 0.5, 2000), 0)
    other.add(other.method("lisa", 0.5, 1000), 0, identity_components=components)
    one = judged_of(other, **claim)
    assert (one.verdict, one.estimate) == ("undecided", None)
    assert one.why.startswith("not comparable")


@pytest.mark.parametrize(
    ("seeds", "why"),
    [
        ((0,), "one seed: nothing is known of how others differ"),
        ((0, 1, 2), "the same weights as fft"),
    ],
)
def test_a_rank_that_cannot_be_told_says_why(
    maker: RunMaker, seeds: tuple[int, ...], why: str
) -> None:
    for seed in seeds:
        for name in ("fft", "lisa"):
            folder = maker.add(maker.method(name, 0.5), seed)
            samples = (folder / "samples.jsonl").read_text()
            if len(seeds) > 1:
                (folder / "samples.jsonl").write_text(samples.replace("false", "true"))
    one = judged_of(maker, kind="rank", of="lisa", against=None, among=["fft"], at_most=1)
    assert (one.verdict, one.needed, one.why) == ("undecided", None, why)


def test_which_speed_a_claim_is_of_is_said(maker: RunMaker) -> None:
    for seed in range(3):
        for name, rate in (("fft", 1000.0), ("lisa", 2000.0)):
            maker.add(maker.method(name, 0.5, tokens_per_second=rate), seed)
    claim = {"kind": "throughput_ratio", "of": "lisa", "against": "fft", "above": 1.5}
    one = judged_of(maker, **claim, speed="steady")
    assert one.verdict == "supported"
    assert holds_if(one.claim) == "speed of own cells, lisa / fft > 1.5"
    assert len(one.cells) == 6
    assert holds_if(one.claim.model_copy(update={"speed": "by_turns"})).startswith("speed by turns")
