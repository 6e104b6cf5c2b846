"""Claims, as a person writes them: `claims:` of a suite, or of a file of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from lwft_bench.schema.base import AVERAGE, Config, Name
from lwft_bench.schema.labels import label_of
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import Locate, Problem

ClaimKind = Literal[
    "accuracy_difference",
    "memory_ratio",
    "memory_difference",
    "memory",
    "throughput_ratio",
    "rank",
    "equal_weights",
]
_UNITS: Mapping[ClaimKind, str] = {
    "accuracy_difference": "points",
    "memory_ratio": "",
    "memory_difference": "GB",
    "memory": "GB",
    "throughput_ratio": "",
    "rank": "",
    "equal_weights": "",
}
_ALONE = ("memory", "rank")


class ClaimSide(Config):
    """The cells of one side of a claim. A name alone stands for `{method: NAME}`."""

    method: str
    ablation: dict[str, Any] = {}
    """Key path -> value, where the method's cells are ablated."""

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return label_of(self.method, self.ablation)


class Claim(Config):
    """A sentence that runs can support or contradict: a metric of one side, or of two, lies between
    two bounds.
    """

    name: Name
    says: str
    """The claim in words, as its source has it."""
    kind: ClaimKind
    """`accuracy_difference`: `of` minus `against`, in points. `memory_ratio`, `memory_difference`:
    peaks of `of` over, or minus, those of `against`. `memory`: the peak of `of`, in GB of 10^9 bytes.
    `throughput_ratio`: tokens per second of `of` over those of `against`. `rank`: the place of `of`
    by accuracy among `among`, 1 the best. `equal_weights`: the same weights, bit for bit."""
    of: ClaimSide
    against: ClaimSide | None = None
    among: tuple[ClaimSide, ...] = ()
    model: str | None = None
    """None: every model that has the cells, with a verdict each."""
    task: str | None = None
    benchmark: str = AVERAGE
    above: float | None = None
    """The metric is larger than this. For a ratio of 0.372, write `below: 0.372`."""
    below: float | None = None
    at_most: PositiveInt | None = None
    """Of a rank."""
    evidence: Literal["any", "measured", "planned"] = "any"
    """Of memory: what may be taken. `any`: what was measured, and what a plan says where nothing was."""
    speed: Literal["by_turns", "end_to_end", "steady"] = "by_turns"
    """Of throughput. `by_turns`: training steps that the methods made by turns on the same batches,
    paired by round. `end_to_end`: of each cell by itself, all that a method does while it trains,
    paired by seed. `steady`: of each cell by itself, training steps alone."""
    source: str = ""
    """Where it stands."""
    ambiguous: str = ""
    """What the source leaves open, and how it was read here."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which the metric lies if the claim holds; -inf or inf where there is no bound."""
        low = -math.inf if self.above is None else self.above
        high = math.inf if self.below is None else self.below
        return low, high

    @property
    def unit(self) -> str:
        return _UNITS[self.kind]

    @property
    def repeated(self) -> str:
        """What of more would make its interval narrower."""
        by_turns = self.kind == "throughput_ratio" and self.speed == "by_turns"
        return "pairs" if by_turns else "seeds"

    @property
    def sides(self) -> tuple[ClaimSide, ...]:
        """All that it speaks of."""
        return tuple(side for side in (self.of, self.against, *self.among) if side is not None)

    @model_validator(mode="after")
    def _is_a_claim(self) -> Claim:
        alone = self.kind in _ALONE
        if alone != (self.against is None):
            word = "has no `against`" if alone else "needs `against`"
            raise ValueError(f"a claim of kind {self.kind} {word}")
        if (self.kind == "rank") != bool(self.among) or (self.kind == "rank") != bool(self.at_most):
            raise ValueError("`among` and `at_most` are of a rank, which needs both")
        bounded = self.above is not None or self.below is not None
        if bounded == (self.kind in ("rank", "equal_weights")):
            word = "has no" if bounded else "needs"
            raise ValueError(f"a claim of kind {self.kind} {word} `above` or `below`")
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"nothing is above {low:g} and below {high:g}")
        if self.of in self.sides[1:]:
            raise ValueError(f"{self.of} is compared with itself")
        return self


def _names_once(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    twice = [name for name, count in Counter(claim.name for claim in claims).items() if count > 1]
    if twice:
        raise ValueError(f"two claims are called {twice[0]}")
    return claims


ClaimList = Annotated[tuple[Claim, ...], AfterValidator(_names_once)]


class ClaimsFile(Config):
    """A file of claims."""

    claims: Annotated[ClaimList, Field(min_length=1)]


def claim_problems(
    claim: Claim, names: Mapping[str, set[str]], locate: Locate
) -> Iterator[Problem]:
    """Names in a claim that a suite has not.

    Args:
        names: `model`, `method`, `task` and `benchmark` -> those that there are; a kind that is missing
            is not checked.
        locate: The place of a key path in the claim.
    """
    for kind in ("model", "task"):
        name = getattr(claim, kind)
        if name is not None and kind in names and name not in names[kind]:
            yield Problem(*locate((kind,)), unknown(f"{kind} of the suite", name, names[kind]))
    known = names.get("benchmark")
    if known is not None and claim.benchmark not in {*known, AVERAGE}:
        text = unknown("benchmark of the suite", claim.benchmark, {*known, AVERAGE})
        yield Problem(*locate(("benchmark",)), text)
    places = [("of",), *([("against",)] if claim.against else [])]
    places += [("among", index) for index in range(len(claim.among))]  # type: ignore[misc]
    for path, side in zip(places, claim.sides, strict=True):
        if "method" in names and side.method not in names["method"]:
            text = unknown("method of the suite", side.method, names["method"])
            yield Problem(*locate(path), text)
