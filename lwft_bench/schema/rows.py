"""The rows of what a cell writes down step by step, and of its checkpoints.

`steps.jsonl`, `selections.jsonl` and `samples.jsonl` are written from these types and read into them.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from lwft_bench.schema.extents import Extent

OverlapKind = Literal["exact", "near"]
"""How a question of a benchmark stands in training data."""

NOT_SOUGHT: Literal["not sought"] = "not sought"
"""Stands for the overlap with training data in samples that say nothing of it."""

Number = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None, when_used="json"),
]
"""A number that JSON writes as null where it is none."""


class Row(BaseModel):
    """A row: one line of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    omitted: ClassVar[frozenset[str]] = frozenset()
    """Keys that stand in a line only where they have a value."""

    def as_json(self) -> dict[str, Any]:
        """The row's keys and values as they stand in a file."""
        values = self.model_dump(mode="json")
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in self.omitted
        }


class StepRow(Row):
    """One optimizer or probing step: a line of `steps.jsonl`.

    There is no loss and no time until the device's readings are fetched.
    """

    omitted = frozenset(
        {"validation_loss", "flops", "useful_flops", "padded_tokens", "computed", "needed"}
    )

    step: int
    """Its number; probing steps are numbered below zero."""
    loss: Number = math.nan
    """Mean over the step's target tokens."""
    lr: float
    tokens: int
    """All tokens but padding."""
    target_tokens: int
    seconds: float = 0.0
    """Mean time of the steps that were read together with it."""
    timed: bool = False
    """Whether it counts in the speed: the first steps warm up."""
    period: int
    """Index of the row of selections that it belongs to; -1 before the first."""
    validation_loss: Number | None = None
    """After the step, where it was measured."""
    flops: int | None = None
    """Operations of the step, executed; None where they could not be counted."""
    useful_flops: int | None = None
    """Those of them for the step's tokens, each computed once; 0 while probing."""
    padded_tokens: int | None = None
    """Tokens with padding."""
    computed: Extent | None = None
    """Of the batch with padding: in the trace, and not in the file."""
    needed: Extent | None = None
    """Of the batch without padding."""


class UnitRow(Row):
    """A unit in the header of `selections.jsonl`, as strategies see it."""

    index: int
    kind: str
    depth: int
    num_parameters: int


class SelectionHeader(Row):
    """The first line of `selections.jsonl`."""

    units: tuple[UnitRow, ...] = ()
    probing_steps: int = 0


class SelectionRow(Row):
    """What trains for a period: a line of `selections.jsonl`."""

    omitted = frozenset({"probabilities", "scores", "ages", "observed", "restart"})

    step: int
    """The first of the period."""
    num_steps: int
    units: tuple[int, ...]
    """Indices, sorted."""
    probabilities: tuple[Number, ...] | None = None
    """Of each unit, where the strategy draws."""
    scores: tuple[Number, ...] | None = None
    """Of each unit, where the strategy has any."""
    ages: tuple[int, ...] | None = None
    """Of each unit: steps since what its score rests on was last measured."""
    observed: tuple[int, ...] | None = None
    """Indices of units that were measured and not trained."""
    restart: bool | None = None
    """Whether all state began anew, where the strategy said so itself."""


class SampleRow(Row):
    """One item of a benchmark, answered: a line of `samples.jsonl`."""

    omitted = frozenset({"cluster"})

    benchmark: str
    id: str
    prompt: str = ""
    """Empty, as all texts are, where a run was handed on without those of its benchmarks."""
    response: str = ""
    """The generated text up to the stop, or the choice with the highest log-likelihood."""
    prediction: str | None = None
    """What the extraction rule found; None: no answer."""
    answer: str = ""
    correct: bool
    overlap: OverlapKind | Literal["not sought"] | None = NOT_SOUGHT
    """Whether training examples have the question, or nearly; None: they do not."""
    cluster: str | None = None
    """What items have in common that were not sampled independently: a template, a passage, a story
    told again with other numbers. None: nothing."""


class Measurement(Row):
    """A statistic of units that the strategy had measured."""

    step: int
    """The next one."""
    statistic: str
    computed: Extent
    """Of what went through the model for it."""
    seconds: float


class SwitchRow(Row):
    """What selecting units took, and making and letting go of their state; measuring left out."""

    step: int
    """The first of the period that begins."""
    seconds: float


class ValidationRow(Row):
    """A validation loss after `step` steps."""

    step: int
    loss: Number


class ChecksumRow(Row):
    """Checksums of all groups' weights after `step` steps."""

    step: int
    groups: dict[str, int]


class StateRow(Row):
    """Checksums of groups' optimizer state at a selection."""

    step: int
    """The first of the period that begins."""
    left: dict[str, int]
    """Of the groups that trained until then."""
    taken: dict[str, int]
    """Of those that train from then on."""
