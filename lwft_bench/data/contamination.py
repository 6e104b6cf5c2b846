"""What a suite's tasks train on and are judged by, and how much of it is the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lwft_bench.data.items import load_items
from lwft_bench.data.overlap import asked, asked_in, find_overlap
from lwft_bench.data.sources import load_examples
from lwft_bench.schema.cell import Cell, TaskConfig

_SHOWN = 3
"""Questions of a benchmark that are shown as examples."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One benchmark of one task, as it is run: drawn items, dropped examples."""

    task: str
    benchmark: str
    num_examples: int
    """Of training and validation."""
    num_items: int
    num_exact: int
    num_near: int
    run_length: int
    """Words of a run that makes a question near."""
    questions: tuple[str, ...]
    """The first few that were found."""


def audit(cells: Sequence[Cell]) -> list[Audit]:
    """Every benchmark of every task of a suite.

    Raises:
        UserError: data cannot be read.
    """
    tasks = {cell.task.name: cell.task for cell in cells}
    return [found for task in tasks.values() for found in _audit(task)]


def _audit(task: TaskConfig) -> Iterator[Audit]:
    trained_on = asked_in(load_examples(task))
    for name in task.benchmarks:
        questions = [asked(item) for item in load_items(task, name)]
        found = find_overlap(trained_on, questions)
        yield Audit(
            task=task.name,
            benchmark=name,
            num_examples=len(trained_on),
            num_items=len(questions),
            num_exact=found.count("exact"),
            num_near=found.count("near"),
            run_length=found.run_length,
            questions=tuple(questions[index] for index in sorted(found.test)[:_SHOWN]),
        )


def audit_as_text(audits: Sequence[Audit]) -> str:
    """A table for a terminal, and examples of what was found."""
    width = max(map(len, ("benchmark", *(one.benchmark for one in audits))))
    lines = []
    for task in dict.fromkeys(one.task for one in audits):
        mine = [one for one in audits if one.task == task]
        lines.append(
            f"{task}: test questions that stand in its {mine[0].num_examples} training and "
            "validation examples"
        )
        lines.append(f"  {'benchmark':<{width}}   items   exact    near")
        for one in mine:
            counts = "  ".join(f"{n:>6}" for n in (one.num_items, one.num_exact, one.num_near))
            lines.append(f"  {one.benchmark:<{width}}  {counts}")
        lines += [
            f"  {one.benchmark}, e.g.: {' '.join(question.split())[:100]}"
            for one in mine
            for question in one.questions
        ]
        lines.append("")
    lines += [
        "exact: the same words in the same order. near: the same letters in other words, or a run "
        "of 8 to 13",
        "words in common that at most 10 examples have (Brown et al. 2020, appendix C).",
    ]
    return "\n".join(lines)
