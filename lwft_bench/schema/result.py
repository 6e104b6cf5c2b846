"""The one place that explains every key of a cell's `result.json`.

Versioned: `schema_version` changes when a key's meaning does, and records of different versions are
never merged silently.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lwft_bench.schema.base import CellId, Name
from lwft_bench.schema.load import Load

SCHEMA_VERSION = 1
PROTOCOL_VERSION = 2
"""Goes up when the trainer or the evaluation changes numbers; part of a cell's identity."""

Status = Literal["done", "failed", "out_of_memory", "diverged", "crashed", "hung"]
Phase = Literal["load", "plan", "probe", "train", "validate", "evaluate", "save"]


class Record(BaseModel):
    """Base of what is written: it refuses unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Score(Record):
    """One benchmark's score. Accuracies are shares (0..1)."""

    benchmark: str
    version: str
    metric: str
    value: float
    stderr: float
    """Standard error over items: sqrt(p (1 - p) / (n - 1))."""
    num_items: int


class AnswerEngine(Record):
    """What generated a cell's answers in the place of transformers."""

    name: str
    version: str
    num_compared: int
    """Answers that transformers looked at too, spread over all that were generated."""
    num_equal: int
    """Those of them that are its own: each token the most likely one, and the end where it belongs."""


class StepMemory(Record):
    """Memory over one training step, the one that needs most, as accounted on fake tensors."""

    operations: list[int]
    """Numbers of the operations after which the rest was taken, in order of execution."""
    phases: list[str]
    """The phase of each."""
    components: dict[str, list[int]]
    """Bytes of each component after each."""


class Memory(Record):
    """Peak memory of the device, in bytes, and how each figure was obtained.

    method: "allocator" (torch's caching allocator, on an accelerator) or "accounted" (the real step
    run on fake tensors, every storage counted as it lives and dies).
    """

    method: Literal["allocator", "accounted"]
    peak_bytes: int
    phases: dict[str, int]
    """Peak by phase: probe, forward, backward, update, switch."""
    components: dict[str, int]
    """Bytes at the instant of the peak: weights, gradients, optimizer_state, activations,
    logits_and_loss, staging, rest."""
    component_peaks: dict[str, int]
    """Each component's own peak, wherever in the step it was."""
    reserved_bytes: int | None = None
    """Peak reserved by the caching allocator."""
    process_bytes: int | None = None
    """NVML's figure for the process, sampled."""
    host_peak_bytes: int
    """Peak resident set of the process (everything, imports and evaluation included)."""
    offloaded_bytes: int = 0
    """Optimizer state held on the host at the end."""
    step: StepMemory | None = None
    """None: not recorded."""
    note: str = ""


class Throughput(Record):
    """Training speed, of the steady step and from end to end; validation, evaluation and checkpoints
    are in neither.
    """

    target_tokens_per_second: float
    """Tokens that count in the loss, of the steady step: warm-up steps, probing, measuring and switches
    excluded."""
    tokens_per_second: float
    """All tokens but padding, of the steady step."""
    end_to_end_target_tokens_per_second: float | None = None
    """Those of the training steps, over all that the method takes: training, warm-up included,
    probing, measuring and switches."""
    end_to_end_tokens_per_second: float | None = None
    """All tokens but padding of the training steps, over the same seconds."""
    step_seconds_median: float
    step_seconds_iqr: tuple[float, float]
    """First and third quartile."""
    num_steps_timed: int
    probing_seconds: float
    training_seconds: float
    measuring_seconds: float = 0.0
    """What the strategy's statistics of units took."""
    switching_seconds: float = 0.0
    """Selecting units, and making and letting go of their state."""
    evaluation_seconds: float
    flops_per_second: float | None = None
    threads: int | None = None
    load: Load | None = None
    """What else the machine did while the cell trained, in the process that ended the training."""


class Check(Record):
    """One engagement check: did the method do what it says, judged from the trace."""

    name: str
    passed: bool
    detail: str


class Engagement(Record):
    """Computed from the trace and not from the config."""

    passed: bool
    checks: list[Check]


class Operations(Record):
    """Floating-point operations of matrix products, convolutions and attention, by what they were for.
    All but the last two add up to `Training.flops`.
    """

    useful: int
    """Forward and backward passes of the training steps, over their tokens and once each."""
    padding: int
    """What padding adds to that."""
    recomputation: int
    """Activations computed again in backward passes (checkpointing), padding included. Not what an
    attention kernel computes again within itself: that is useful."""
    updates: int
    """Matrix products of the optimizer."""
    probing: int
    """All of the probing steps."""
    measuring: int
    """Forward passes for the strategy's statistics of units."""
    uncounted: list[str] = []
    """Operators that ran and multiply or decompose matrices, for which no formula is known: with any,
    the counts are too small."""
    deviation: float = 0.0
    """The largest relative difference between what is told here and what was counted on a batch that
    the figures were not made from, and on the planned longest batch."""


class Training(Record):
    """What training did, in numbers that could differ between methods."""

    num_ranks: int = 1
    """Processes that trained the cell together, each on its share of every batch. Tokens, operations
    and speed are those of all; memory and times are the first one's."""
    optimizer_steps: int
    probing_steps: int
    target_tokens: int
    tokens: int
    flops: int | None
    """Floating-point operations executed: of every step on the batch that it had, padding,
    recomputation, probing, measuring and the optimizer's matrix products included. Validation and
    evaluation are not in it. None where they could not be counted."""
    operations: Operations | None = None
    """The same by what they were for. None: not counted, or of a version that did not tell them apart,
    and that left out the head's weight gradient and padding."""
    trained_parameters: int
    """Parameters that received at least one update."""
    active_parameters_mean: float
    """Mean over steps of the parameters updated."""
    total_parameters: int
    first_loss: float
    final_loss: float
    """Mean training loss of the last tenth of the steps."""
    validation_loss_before: float | None = None
    validation_loss_after: float | None = None
    loss_jump_at_switch: float | None = None
    """Mean over switches of loss(first step after) - loss(last step before); None without switches."""
    surviving_update_share: float | None = None
    """Of the weights that the optimizer wanted to move, the share whose stored value changed, over
    one step in ten: the rest was lost to rounding."""
    stuck_second_moment_share: float | None = None
    """Of the elements whose second moment was above the squared gradient, and so wanted to fall, the
    share whose stored value stayed, over the same steps. None where moments are float32, eight bits or
    projected."""
    truncated_examples: int = 0
    """Examples that were cut to `training.max_length`."""
    dropped_examples: int = 0
    """Examples left out because `training.max_length` left nothing of their target."""
    lost_to_rounding: dict[str, int] = {}
    """Group of parameters -> periods in which it was updated and none of its stored values changed,
    since the updates are smaller than what the weights' type can hold."""
    empty_examples: int = 0
    """Rows of the training files left out because their target is empty."""


class EarlierEvaluation(Record):
    """The evaluation by another run, or by another cell of this one, that scores are taken from."""

    run: Annotated[str, Field(max_length=255)]
    """The name of its directory."""
    cell: CellId
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """When, in UTC."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """What it took there."""
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """sha256 (hex) over all that its answers depend on: see lwft_bench.cell.score_key."""


class Failure(Record):
    """Why a cell is not done."""

    phase: Phase
    error: str
    """One line."""
    traceback: str = ""


class CellResult(Record):
    """`result.json`."""

    schema_version: int = SCHEMA_VERSION
    status: Status
    """"done" when all is well."""
    cell: CellId
    model: Name
    method: Name
    task: Name
    seed: int
    ablation: dict[str, Any] = {}
    identity: str
    """sha256 over the identity components: the cell is reused only while this is the same."""
    identity_components: dict[str, str]
    """Digests of config, strategy, data, model, protocol and, but for trials, evaluation."""
    scores: list[Score] = []
    average: float | None = None
    """Unweighted mean over benchmarks."""
    scores_of: CellId | None = None
    """The cell of the run whose scores and samples these are, as it ended in the same weights (digest)
    and is evaluated alike; None: they are its own, or `scores_from` says whose."""
    scores_from: EarlierEvaluation | None = None
    """The evaluation of an equal model whose answers were kept and whose scores and samples these are.
    Only models that nothing trains take any."""
    scores_not_taken: str | None = None
    """Why what was kept could not be taken, so that the cell was evaluated; None: it could, or there was
    nothing."""
    engine: AnswerEngine | None = None
    """None: transformers generated the answers, or there were none to generate."""
    memory: Memory | None = None
    throughput: Throughput | None = None
    training: Training | None = None
    engagement: Engagement | None = None
    weights_digest: str | None = None
    """sha256 over the fine-tuned weights: see lwft_bench.models.digests.weights_digest."""
    confounds: dict[str, Any] = {}
    """Everything that could differ between methods besides their name, as flat key -> value."""
    missing: dict[str, str] = {}
    """Figures that could not be had -> why, in one line. Scores do not depend on them."""
    provenance: dict[str, Any] = {}
    """Versions, hardware, threads, commit, command, times."""
    failure: Failure | None = None
    phase_seconds: dict[str, float] = {}
    """Phase -> seconds of the process that ended the cell."""
