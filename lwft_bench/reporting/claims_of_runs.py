"""Claims judged by runs and plans, as text and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lwft_bench.reporting.numbers.claim_metrics import Assessed
from lwft_bench.reporting.numbers.claims import assess
from lwft_bench.reporting.numbers.comparison import compare
from lwft_bench.reporting.numbers.merging import merged
from lwft_bench.reporting.read.plans import PlannedPeak, read_plan
from lwft_bench.reporting.read.records import read_run
from lwft_bench.reporting.read.statements import read_claims
from lwft_bench.reporting.render.markdown import shown
from lwft_bench.reporting.tables.claims import (
    claims_table,
    contended,
    holds_if,
    rests_on,
    shown_estimate,
    would_take,
)
from lwft_bench.reporting.tables_over_runs import Format, render_table
from lwft_bench.schema.errors import UserError


@dataclass(frozen=True)
class Judgement:
    """All claims with their verdicts."""

    assessed: tuple[Assessed, ...]

    @property
    def contradicted(self) -> bool:
        return any(one.verdict == "contradicted" for one in self.assessed)

    @property
    def undecided(self) -> bool:
        return any(one.verdict == "undecided" for one in self.assessed)

    def as_text(self) -> str:
        """For a terminal."""
        return shown("\n".join(_lines(self.assessed)))

    def as_table(self, format: Format) -> str:
        """As the report has it."""
        table = claims_table(self.assessed)
        assert table is not None, "there is at least one claim"
        return render_table(table, format)


def judge_claims(sources: Sequence[Path], file: str | None = None) -> Judgement:
    """Claims of a file, or of the runs' suites.

    Args:
        sources: directories of runs, and files that `lwft-bench plan --json` wrote.
        file: a file of claims, or a shipped one's name.

    Raises:
        UserError: A source is neither, there is no claim, or with all that is wrong in the file.
    """
    runs = [read_run(source) for source in sources if not source.is_file()]
    plans: list[PlannedPeak] = []
    for source in sources:
        plans += read_plan(source) if source.is_file() else []
    records = merged(runs) if runs else None
    claims = read_claims(file) if file is not None else (records.claims if records else ())
    if not claims:
        raise UserError(
            "There is no claim to judge.",
            "Give a file of claims, `--claims FILE`, or `claims:` in the suite.",
        )
    if records is None:
        return Judgement(tuple(assess(claims, [], plans)))
    return Judgement(tuple(assess(claims, compare(records), plans, records.timing)))


def _lines(assessed: Sequence[Assessed]) -> Iterator[str]:
    for one in assessed:
        about = f" ({one.about})" if one.about else ""
        yield f"{one.verdict:13}{one.claim.name}{about}"
        yield f"             {one.claim.says}"
        unit = f" {one.claim.unit}" if one.claim.unit and one.estimate is not None else ""
        yield f"             holds if {holds_if(one.claim)}; found {shown_estimate(one)}{unit}"
        if one.verdict == "undecided":
            word = "would take" if one.needed is not None else "since"
            yield f"             {word}: {would_take(one)}"
        elif one.why:
            yield f"             {one.why}"
        if one.contended:
            yield f"             {contended(one)}"
        if one.cells:
            yield f"             rests on {rests_on(one)}: {_few(one.cells)}"
    counts = Counter(one.verdict for one in assessed)
    yield ", ".join(f"{number} {word}" for word, number in counts.items())


def _few(cells: Sequence[str]) -> str:
    return ", ".join(cells[:3]) + (" ..." if len(cells) > 3 else "")
