"""What checks before a run find: problems, which end it, and warnings, which do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from lwft_bench.schema.errors import UserError, described


@dataclass
class Findings:
    """Each once, in the order in which they were found. A problem comes with what helps, if known."""

    problems: dict[str, str | None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)

    def problem(self, text: str, hint: str | None = None) -> None:
        self.problems.setdefault(text, hint)

    def warn(self, text: str) -> None:
        self.warnings.setdefault(text)

    @contextmanager
    def collected(self, where: str = "") -> Iterator[None]:
        """A UserError inside becomes a problem, and what comes after it inside is passed over.

        Any other error ends no run: a model's own code may not like to be put together without
        weights. It becomes a warning, and whether cells fail is for them to show.

        where: what is put before it, unless it says itself which model it is of.
        """
        try:
            yield
        except UserError as error:
            told = error.message.startswith(where.partition(",")[0])
            place = "" if told else f"{where}: "
            self.problem(f"{place}{error.message}", error.hint)
        except Exception as error:
            reason = described(error)[:200]
            self.warn(f"{where}: could not be checked before the run ({reason})")

    def add(self, other: Findings) -> None:
        """What another check found, behind this."""
        for text, hint in other.problems.items():
            self.problem(text, hint)
        self.warnings.update(other.warnings)

    def placed(self, place: Callable[[str], str]) -> Findings:
        """The same, with what `place` makes of each text."""
        return Findings(
            {place(text): hint for text, hint in self.problems.items()},
            dict.fromkeys(map(place, self.warnings)),
        )

    def raise_problems(self) -> None:
        """Raises:
        UserError: with all problems, each followed by what helps; said once of those that it helps.
        """
        alike = [
            ("\n".join(text for text, _ in group), hint)
            for hint, group in groupby(self.problems.items(), key=lambda item: item[1])
        ]
        if len(alike) == 1:
            raise UserError(*alike[0])
        if alike:
            raise UserError(
                "\n".join(f"{text}\n  {hint}" if hint else text for text, hint in alike)
            )
