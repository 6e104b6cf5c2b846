"""Only the cells that are asked for can be refused, and what is wrong with them is told at once."""

from __future__ import annotations

import pytest

from lwft_bench.schema.findings import Findings
from lwft_bench.suites.loading import Changes, load_suite
from tests.suites.writing import SUITE, Problems, Write, replaced

SHARED = ("training.sharded=2",)
SEVERAL = replaced(methods="[base, fft, lora, galore, adamw-8bit]")


def test_what_does_not_go_together_is_told_of_all_methods_at_once(problems: Problems) -> None:
    told = problems(SEVERAL, Changes(settings=(*SHARED, "training.batching=packed")))
    start = "--set: training.sharded: method "
    assert all(line.startswith(start) for line in told)
    assert [line.removeprefix(start).partition(": ")[0] for line in told] == [
        *["fft"],
        *["lora"] * 2,
        *["galore"] * 2,
        *["adamw-8bit"] * 2,
    ]


def test_each_is_told_where_it_was_set(problems: Problems) -> None:
    overrides = (
        "[{method: lora, set: {training.sharded: 2}}, {method: galore, set: {training.sharded: 4}}]"
    )
    first, second = problems(SEVERAL + f"overrides: {overrides}\n")
    assert first.startswith("suite.yaml:7: overrides[0].set.training.sharded: method lora: ")
    assert second.startswith("suite.yaml:7: overrides[1].set.training.sharded: method galore: ")


def test_a_mistake_elsewhere_does_not_hide_it(problems: Problems) -> None:
    text = SEVERAL.replace("[arith]", "[{name: t, data: x, train_examples: 1, benchmarks: []}]")
    told = problems(text + "baseline: ftt\n", Changes(settings=SHARED))
    assert sum("method lora" in line or "method galore" in line for line in told) == 2
    assert any("unknown data source" in line for line in told)
    assert any("baseline" in line for line in told)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(settings=SHARED, methods=("fft",)),
        Changes(settings=SHARED, only="*--fft--*seed0"),
        Changes(settings=SHARED, methods=("base", "fft"), seeds=(3,)),
    ],
)
def test_methods_that_are_left_out_refuse_nothing(write: Write, changes: Changes) -> None:
    suite = load_suite(str(write("suite.yaml", SEVERAL)), changes)
    assert {cell.method.name for cell in suite.cells} <= {"base", "fft"}
    assert all(cell.training.sharded == 2 for cell in suite.cells)


def test_what_a_task_or_model_lacks_here_matters_where_it_is_asked_for(
    write: Write, problems: Problems
) -> None:
    task = "{name: t, data: instructions, data_dir: absent, train_examples: 1, benchmarks: []}"
    text = replaced(models="[embedded, ./absent]", tasks=f"[arith, {task}]")
    assert {line.split(": ")[1] for line in problems(text)} >= {"models[1]", "tasks[1].data_dir"}
    of_task = problems(text, Changes(models=("embedded",), tasks=("t",)))
    assert {line.split(": ")[1] for line in of_task} >= {"tasks[1].data_dir"}
    assert not any("models" in line for line in of_task)
    suite = load_suite(
        str(write("suite.yaml", text)), Changes(models=("embedded",), tasks=("arith",))
    )
    assert len(suite.cells) == 5


def test_all_that_cannot_be_read_is_told_and_the_rest_is_looked_at(write: Write) -> None:
    task = (
        "{name: t, data: jsonl, data_options: {train: x.jsonl}, train_examples: 1, benchmarks: []}"
    )
    write("x.jsonl", "")
    path = write(
        "suite.yaml",
        replaced(
            models="[embedded, 'package:absent/one', 'package:absent/two']",
            tasks=f"[arith, {task}]",
        ),
    )
    suite, findings = load_suite(str(path)), Findings()
    readable = suite.readable(suite.cells, findings)
    assert {(cell.model.name, cell.task.name) for cell in readable} == {("embedded", "arith")}
    told = [suite.placed(text) for text in findings.problems]
    assert sorted(text.split(": ")[2] for text in told) == ["model one", "model two", "task t"]
    assert {text.split(": ")[1] for text in told} == {"models[1]", "models[2]", "tasks[1]"}


def test_a_plugin_that_a_method_lacks_matters_where_it_is_asked_for(
    write: Write, problems: Problems
) -> None:
    write("card.yaml", "{name: c, title: t, citation: c, strategy: grasss}")
    text = replaced(methods="[fft, card.yaml]")
    (told,) = problems(text)
    assert "unknown strategy 'grasss'" in told
    assert load_suite(str(write("suite.yaml", text)), Changes(methods=("fft",))).cells


def test_mistakes_of_the_file_are_told_whatever_is_asked_for(problems: Problems) -> None:
    text = replaced(methods="[fft, grss, lora]", baseline="ftt", polish="true")
    told = problems(text, Changes(methods=("fft", "lorra"), settings=("training.stps=1",)))
    assert [line.partition(";")[0] for line in told] == [
        "--methods: unknown method of the suite 'lorra'",
        "--set: training.stps: no method has such option",
        "suite.yaml:3: methods[1]: unknown method 'grss'",
        "suite.yaml:7: baseline: unknown method of the suite 'ftt'",
        "suite.yaml:8: polish: unknown key",
    ]


def test_a_file_is_no_name_to_ask_for(write: Write, problems: Problems) -> None:
    write("card.yaml", "{name: c, title: t, citation: c}")
    (told,) = problems(replaced(methods="[fft, card.yaml]"), Changes(methods=("card.yaml",)))
    assert told == "--methods: unknown method of the suite 'card.yaml'; expected one of c, fft"


def test_cells_are_those_of_the_whole_suite(write: Write) -> None:
    path = str(write("suite.yaml", SUITE + "ablate: {strategy.temperature: [0.1, 1]}\n"))
    whole = load_suite(path).cells
    for only in ("*grass*", "*seed1*", "*temperature*0.1*", "*base*"):
        narrowed = load_suite(path, Changes(only=only)).cells
        assert narrowed and all(cell in whole for cell in narrowed)
    assert load_suite(path, Changes(methods=("fft",))).cells == [
        cell for cell in whole if cell.method.name == "fft"
    ]


def test_every_method_that_lacks_an_option_is_named(problems: Problems) -> None:
    overrides = "[{method: [fft, base, grass], set: {strategy.period: 5, strategy.x: 1}}]"
    told = problems(replaced(overrides=overrides))
    assert [line.partition(": method ")[2].partition(" has")[0] for line in told] == [
        "'base'",
        "'fft'",
        "'base'",
        "'fft'",
        "'grass'",
    ]
