"""The suite file, as a person writes it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
)

from lwft_bench.schema.base import AVERAGE as AVERAGE
from lwft_bench.schema.base import Config, Name
from lwft_bench.schema.cell import EvaluationConfig, ModelConfig, TaskConfig, TrainingConfig
from lwft_bench.schema.claims import ClaimList
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.tables import TableSpec
from lwft_bench.schema.timing import TimingConfig


def _shape(value: Any) -> str | None:
    if isinstance(value, str):
        return "<name>"
    return "<mapping>" if isinstance(value, dict) else None


_ByShape = Discriminator(
    _shape,
    custom_error_type="name_or_mapping",
    custom_error_message="Input should be a name or a mapping",
)
ByName = Annotated[str, Tag("<name>")]
ModelEntry = Annotated[ByName | Annotated[ModelConfig, Tag("<mapping>")], _ByShape]
MethodEntry = Annotated[ByName | Annotated[MethodConfig, Tag("<mapping>")], _ByShape]
TaskEntry = Annotated[ByName | Annotated[TaskConfig, Tag("<mapping>")], _ByShape]
Names = str | tuple[str, ...]


def _without_repeats(seeds: tuple[int, ...]) -> tuple[int, ...]:
    repeated = [seed for seed, count in Counter(seeds).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is there twice")
    return seeds


Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(_without_repeats)]
Grid = Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]], Field(min_length=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
KeepWeights = Literal["all", "last", "none"]


class Override(Config):
    """Options for the cells that match every selector that is given."""

    method: Names | None = None
    """Name of a method of the suite, or a list of them."""
    model: Names | None = None
    task: Names | None = None
    set: dict[str, Any]
    """Key path -> value, e.g. `training.lr: 3.0e-3`."""


class Tune(Config):
    """Settings tried for each method that trains before its cells run, with one budget for all."""

    grid: Grid
    """Key path -> values, e.g. `training.lr: [3.0e-4, 1.0e-3, 3.0e-3]`. Every combination is tried."""
    methods: dict[str, Grid] = {}
    """Method -> a grid of its own instead, of as many combinations."""
    seeds: Seeds
    """Each combination is tried with each of these. None of them is a seed of the suite."""
    steps: PositiveInt | None = None
    """Steps of a trial; None: as many as its cells."""
    metric: Literal["validation_loss"] = "validation_loss"
    """What decides: its mean over the seeds, the lowest. Never a benchmark."""


class Published(Config):
    """Numbers that others printed, shown beside the suite's own. They change no cell."""

    source: str
    """Where they stand: paper, table, and as quoted by whom if it was not read itself."""
    kind: Literal["paper", "readme", "notes", "summary"] | None = None
    """What was read: the paper, its authors' README, notes that others made of it, or a language model's
    summary, in which single cells may be wrong."""
    scores: dict[str, dict[str, dict[str, Percent]]] = {}
    """Model -> method -> benchmark, or `average` over a task's benchmarks -> accuracy in percent.
    What the source does not have is left out."""
    peak_gb: dict[str, dict[str, Positive]] = {}
    """Model -> method -> peak of device memory, in GB as the source writes them (10^9 or 2^30)."""
    tokens_per_second: dict[str, dict[str, Positive]] = {}
    """Model -> method -> throughput of training, all tokens."""
    conditions: str | dict[str, str] = ""
    """Under which peaks and throughputs were measured: device, batch, length, precision,
    checkpointing. Of all models alike, or by model."""

    def conditions_of(self, model: str) -> str:
        """Without a stop at its end; `not stated` where nothing is said."""
        found = self.conditions
        text = found if isinstance(found, str) else found.get(model, "")
        return text.rstrip(". ") or "not stated"


class SuiteFile(Config):
    """A comparison: models x methods x tasks x seeds, and how they are trained and evaluated."""

    model_config = ConfigDict(title="lwft-bench suite")

    name: Name
    title: str = ""
    description: str = ""
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    """Each a shipped model's name, a local folder, a hub name, or a mapping."""
    methods: Annotated[tuple[MethodEntry, ...], Field(min_length=1)]
    """Each a shipped method card's name, the path of a card, the name of a plugin's strategy (with
    default settings around it), or a mapping."""
    tasks: Annotated[tuple[TaskEntry, ...], Field(min_length=1)]
    """Each a shipped task card's name, the path of a card, or a mapping."""
    seeds: Seeds
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    overrides: tuple[Override, ...] = ()
    """Applied in order, above the method cards' own settings."""
    ablate: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}
    """Key path -> values. Methods that have the option are multiplied, others stay as they are."""
    tune: Tune | None = None
    """Settings chosen for each method by its validation loss, before its cells run."""
    baseline: str | None = None
    """The method that paired differences refer to."""
    published: Published | None = None
    """Numbers of a paper, for a table of the report."""
    tables: dict[Name, TableSpec] = {}
    """Tables as papers print them: `lwft-bench table RUN --table NAME`. They change no cell."""
    claims: ClaimList = ()
    """What the suite is to show, each with a verdict in the report. They change no cell."""
    keep_weights: KeepWeights = "none"
    """Whose fine-tuned weights are kept, in the cell's folder: of `all` cells, of the `last` seed of
    each method, or of none. A cell whose weights are there is scored on other benchmarks, or with
    other options of evaluation, without being trained again."""
    timing: TimingConfig = TimingConfig()
    """How the methods are timed against each other once every cell has ended."""
    plugins: tuple[str, ...] = ()
    """Python files that register strategies, adapters or optimizers, relative to this file."""


def schema_text() -> str:
    """The JSON schema of suite files, with which editors complete and check them."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | SuiteFile.model_json_schema(), indent=2) + "\n"
