"""Benchmark definitions: one versioned YAML file each, shipped or the user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from lwft_bench.data.extraction import COMPARISONS, JUDGED_AS_NUMBERS, OWN_RULE, RULES
from lwft_bench.data.instructions import InstructionItems
from lwft_bench.schema.base import AVERAGE, Config, Name
from lwft_bench.schema.cell import Profile
from lwft_bench.schema.documents import read_document
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.naming import unknown
from lwft_bench.schema.problems import ConfigError, format_key, validate
from lwft_bench.schema.shipped import is_path, shipped

DOCUMENTATION = ("title", "description", "licence", "contamination")
"""Keys of a definition that change neither what is asked nor how it is judged."""


def known_rule(name: str | None) -> str | None:
    """A validator.

    Raises:
        ValueError: there is no such extraction rule.
    """
    if name is not None and name not in RULES:
        raise ValueError(unknown("extraction rule", name, RULES))
    return name


def known_pattern(pattern: str | None) -> str | None:
    """A validator.

    Raises:
        ValueError: it is no regular expression.
    """
    if pattern is not None:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"no regular expression: {error}") from None
    return pattern


def require_pattern(rule: str | None, pattern: str | None) -> None:
    """Raises:
    ValueError: the rule `regex` has none, or another has one.
    """
    if (pattern is not None) != (rule == OWN_RULE):
        raise ValueError(f"`pattern` is for the extraction rule {OWN_RULE}, and needed there")


class GeneratedItems(Config):
    """Items made by `lwft_bench.data.arithmetic`."""

    name: Literal["generated-arithmetic"]
    benchmark: Literal[
        "add-sub",
        "algebra-choice",
        "grade-school",
        "multi-step",
        "single-equation",
        "varied-structure",
    ]


class CommonsenseItems(Config):
    """Items made by `lwft_bench.data.commonsense`."""

    name: Literal["generated-commonsense"]
    benchmark: Literal["how-it-ends", "what-fits", "who-has-more", "yes-or-no"]


class JsonlItems(Config):
    """Items from a file of JSON lines, taken from the top."""

    name: Literal["jsonl"]
    path: Path
    """Relative to the folder of the definition that names it."""
    prompt_field: str = "prompt"
    answer_field: str = "answer"
    choices_field: str | None = None
    """Multiple choice only: a list of continuations, of which the answer is one."""


class Protocol(Config):
    """How responses are generated and read."""

    extraction: str
    max_new_tokens: PositiveInt
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    num_beams: PositiveInt = 1
    pattern: str | None = None

    _known_rule = field_validator("extraction")(known_rule)
    _known_pattern = field_validator("pattern")(known_pattern)

    @model_validator(mode="after")
    def _has_its_pattern(self) -> Self:
        require_pattern(self.extraction, self.pattern)
        return self


class BenchmarkConfig(Config):
    """One test set with its prompt, metric and version."""

    name: Name
    version: str
    """Goes up when a score under the old definition is no longer comparable."""
    title: str
    description: str
    source: Annotated[
        GeneratedItems | CommonsenseItems | JsonlItems | InstructionItems,
        Field(discriminator="name"),
    ]
    """Where the items come from. Prompts of instructions are the profile's; others are complete."""
    licence: str
    kind: Literal["generate", "multiple_choice"]
    """Greedy generation, or the choice with the highest log-likelihood (summed over its tokens,
    not normalised by length)."""
    metric: Literal["numeric_match", "exact_match", "acc"]
    """How prediction and answer are compared (`extraction.COMPARISONS`); `acc` for choices."""
    extraction: str | None = None
    """Generation: the rule that finds the prediction (`extraction.RULES`)."""
    pattern: str | None = None
    """Rule `regex`: the regular expression whose last match, or the first group in it, is the
    prediction."""
    max_new_tokens: PositiveInt | None = None
    """Generation: at most this many tokens."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Generation: texts that end a response, besides the end-of-sequence token."""
    num_beams: PositiveInt = 1
    """Generation: 1 is greedy, more is beam search, which stops at the end-of-sequence token only."""
    published: Protocol | None = None
    """Instead of the keys from `extraction` on, under profile `published`."""
    num_items: PositiveInt
    """How many items there are, or are made."""
    clusters: Literal["opening"] | None = None
    """Items of instructions that begin alike but for their numbers are variants of one and no
    independent samples. Generated items know their templates."""
    contamination: str
    """What is known of the overlap between training sets and this one."""

    _known_rule = field_validator("extraction")(known_rule)
    _known_pattern = field_validator("pattern")(known_pattern)

    @field_validator("name")
    @classmethod
    def _is_no_column(cls, name: str) -> str:
        if name == AVERAGE:
            raise ValueError(f"{AVERAGE!r} is what tables call the mean over benchmarks")
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        generates = self.kind == "generate"
        source = self.source
        if isinstance(source, InstructionItems) and not generates:
            raise ValueError("items of source instructions are answered by generation")
        if isinstance(source, JsonlItems) and (source.choices_field is None) != generates:
            raise ValueError("`source.choices_field` is for multiple_choice, and needed there")
        for key in ("extraction", "max_new_tokens"):
            if (getattr(self, key) is not None) != generates:
                raise ValueError(f"`{key}` is for benchmarks of kind generate, and needed there")
        if (self.metric in COMPARISONS) != generates:
            raise ValueError("the metric of multiple_choice is acc; of generate, any other")
        if self.metric == "numeric_match" and self.extraction not in JUDGED_AS_NUMBERS:
            raise ValueError(f"numeric_match needs one of {', '.join(JUDGED_AS_NUMBERS)}")
        require_pattern(self.extraction, self.pattern)
        if self.num_beams > 1 and self.stop:
            raise ValueError("beam search ends at the end-of-sequence token: leave out `stop`")
        return self

    def under(self, profile: Profile) -> BenchmarkConfig:
        """The definition that a task of this profile is judged by; its version says which."""
        if profile == "clean" or self.published is None:
            return self
        protocol = dict(self.published)
        return self.model_copy(update=protocol | {"version": f"{self.version} {profile}"})

    def in_chat(
        self, end_of_turn: str, options: Mapping[str, Any] | None = None
    ) -> BenchmarkConfig:
        """With prompts by a chat template with these options, whose replies end by that text too, if
        it has one.
        """
        ends = end_of_turn and self.kind == "generate" and self.num_beams == 1
        stop = (*self.stop, end_of_turn) if ends else self.stop
        chosen = f" {json.dumps(options, sort_keys=True)}" if options else ""
        return self.model_copy(update={"stop": stop, "version": f"{self.version} chat{chosen}"})


def shipped_benchmarks() -> list[str]:
    """The names of the definitions that ship."""
    return list(shipped("benchmarks"))


def load_benchmark(name: str) -> BenchmarkConfig:
    """Read a definition: a shipped one by name, or the user's own by the path of its file.

    Raises:
        UserError: there is none, or everything that is wrong with it, each with its place.
    """
    known = {name: Path(name)} if is_path(name) else shipped("benchmarks")
    if name not in known:
        raise UserError(unknown("benchmark", name, known))
    path = known[name]
    document = read_document(path)
    benchmark, problems = validate(
        BenchmarkConfig, document.value, lambda key: (document.where(key), format_key(key))
    )
    if benchmark is None:
        raise ConfigError(problems)
    if isinstance(benchmark.source, JsonlItems):
        items = path.parent / benchmark.source.path
        source = benchmark.source.model_copy(update={"path": items})
        benchmark = benchmark.model_copy(update={"source": source})
    return benchmark
