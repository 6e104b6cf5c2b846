"""The resolved configuration of a cell, piece by piece. Every model refuses unknown keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from lwft_bench.schema.base import Config, Name
from lwft_bench.schema.method import MethodConfig

Profile = Literal["clean", "published"]


class LayerFactor(Config):
    """A decoder layer and a number that its norm gains are multiplied by."""

    layer: NonNegativeInt
    factor: Annotated[float, Field(gt=0)]


class ModelConfig(Config):
    """Where a model comes from. Exactly one of `path` and `config` is given."""

    name: Name
    """Short name, used in cell ids and tables."""
    path: str | None = None
    """`embedded`, a local folder, a hub name, or a GGUF file, `package:NAME/FILE.gguf` if an installed
    package has it."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    config: dict[str, Any] | None = None
    """A transformers config with `model_type`; weights are drawn from the initialisation stream."""
    tokenizer: str | None = None
    """Folder or hub name, if not the model's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Off unless asked for by name here."""
    reinitialise: tuple[NonNegativeInt, ...] = ()
    """Decoder layers that lose what they learned: they get the weights that an untrained model has,
    drawn from the initialisation stream. A control, of layers that get next to no gradient."""
    gain: LayerFactor | None = None
    """Damages a layer: the gains of the norms before its linear maps are multiplied by the factor. A
    positive control: training that layer repairs it."""
    rescale: LayerFactor | None = None
    """Leaves the function as it is: the same gains are multiplied by the factor, and the linear maps
    that follow them divided by it. A placebo: nothing needs training. A power of two is exact."""

    @property
    def altered_layers(self) -> tuple[int, ...]:
        """Decoder layers that a control has changed, sorted."""
        named = [one.layer for one in (self.gain, self.rescale) if one is not None]
        return tuple(sorted({*self.reinitialise, *named}))

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.path is None) == (self.config is None):
            raise ValueError("expected exactly one of the keys 'path' and 'config'")
        if self.altered_layers and self.path is None:
            (key, *_) = [k for k in ("reinitialise", "gain", "rescale") if getattr(self, k)]
            raise ValueError(
                f"{key} is for pretrained weights: a model built from a config has none"
            )
        return self


_NOT_OPTIONS = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "messages",
    "return_dict",
    "strftime_now",
    "tokenize",
    "tools",
}
"""Names of what the harness gives to templates itself, or does not have."""


class TaskConfig(Config):
    """Training data together with the benchmarks it is judged on."""

    name: Name
    data: str
    """Name of the training set's source, e.g. `generated-arithmetic`."""
    data_options: dict[str, Any] = {}
    train_examples: PositiveInt
    validation_examples: NonNegativeInt = 64
    benchmarks: tuple[str, ...]
    items_per_benchmark: PositiveInt | None = None
    """None takes every item a benchmark has."""
    data_dir: str | None = None
    """Folder with the files of benchmarks and training sets. None: that of the environment variable
    LWFT_BENCH_DATA; without that, benchmarks come from the hub."""
    profile: Profile = "clean"
    """How instructions are written for the model and its answers read, in training and on
    benchmarks: `published` as LLM-Adapters does, `clean` with one template and strict extraction."""
    chat_template: bool = False
    """Prompts are written by the chat template of the model's tokenizer, in training and on
    benchmarks alike, instead of by the profile's."""
    chat_template_options: dict[str, Any] = {}
    """Arguments of that template, such as `enable_thinking: false`."""
    drop_test_questions: Literal["none", "exact", "near"] = "none"
    """Leaves examples out of training whose question is one of the benchmarks', or nearly one."""
    permute_targets: bool = False
    """Gives each training example the target of another, at random: a negative control, in which
    there is nothing to learn but the form of answers. Validation and benchmarks stay as they are."""
    max_left_out: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the training or validation examples that may be left out because `training.max_length`
    leaves nothing of their target, or because their target is empty. They are counted and warned
    of; more is refused before anything runs."""

    @model_validator(mode="after")
    def _has_one_template(self) -> Self:
        if self.chat_template and self.profile == "published":
            raise ValueError(
                "chat_template goes with profile clean only: the published prompts are LLM-Adapters'"
            )
        if self.chat_template_options and not self.chat_template:
            raise ValueError("chat_template_options are for tasks with `chat_template: true`")
        if taken := sorted(_NOT_OPTIONS.intersection(self.chat_template_options)):
            raise ValueError(f"chat_template_options: {taken[0]} is not for a task to set")
        return self


class ClipConfig(Config):
    """Gradient clipping by norm, over all trained parameters or unit by unit."""

    mode: Literal["none", "global", "unit"] = "none"
    max_norm: Annotated[float, Field(gt=0)] = 1.0


Batching = Literal["padded", "by_length", "packed"]


class TrainingConfig(Config):
    """How a cell trains: the same for every method unless a suite overrides it."""

    steps: NonNegativeInt
    """Optimizer steps (T); probing steps come on top and are recorded."""
    batch_size: PositiveInt = 16
    """Sequences per optimizer step."""
    micro_batch_size: PositiveInt | None = None
    """Sequences per forward and backward pass; None: the whole batch at once."""
    max_tokens: PositiveInt | None = None
    """Instead: tokens per forward and backward pass as they are computed, padding included; a longer
    sequence is alone."""
    batching: Batching = "padded"
    """How the sequences of a step come into micro-batches: in their order, padded to the longest; sorted
    by length; or packed into one row without padding, where attention keeps them apart. The step's
    gradient is the same sum over the same tokens."""
    lr: Annotated[float, Field(gt=0)] = 1e-4
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: NonNegativeInt = 0
    max_length: Annotated[int, Field(ge=2)] = 256
    """Tokens; longer sequences are cut on the right, counted and reported."""
    loss_on: Literal["target", "all"] = "target"
    """Whether prompt tokens count in the loss."""
    precision: Literal["float32", "bf16", "bf16-stochastic", "bf16-master"] = "float32"
    """Weights and optimizer state: float32; pure bf16; bf16 with stochastic rounding; bf16 with
    float32 master copies of the selected units."""
    state_dtype: Literal["float32", "bf16", "bf16-stochastic"] | None = None
    """Moments: float32; bf16, rounded to the nearest; bf16 with stochastic rounding. None: what goes
    with `precision`: float32 for float32 and bf16-master, else bf16."""
    clip: ClipConfig = ClipConfig()
    checkpointing: bool = False
    """Recompute each layer's activations in the backward pass."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"] = "auto"
    """`auto`: sdpa where the model has it, else what it has. `flash_attention_2` needs the extra
    `flash`, `flex_attention` torch's compiler; both need a CUDA device, and plans count them as sdpa."""
    compile: bool = False
    """Compile each decoder layer by itself for training; evaluation is not compiled. What a compiled
    step needs of memory is measured on a device and not planned."""
    kernels: Literal["torch", "liger"] = "torch"
    """`liger`: fused norms and MLPs of the extra `liger`, on a CUDA device; not planned either."""
    dropout: bool = True
    """Keep the model's own dropout, and the noise of its routers, on while training."""
    router_loss: Literal["auto", "on", "off"] = "auto"
    """The loss that balances the routers of a mixture of experts, with the weight of the model's
    config; `auto`: only if that config asks for it (`output_router_logits`)."""
    update: Literal["in_backward", "after_backward"] = "after_backward"
    bucket_bytes: PositiveInt = 16 * 2**20
    """Size of one of the six device buckets that offloaded optimizer state passes through."""
    sharded: Annotated[int, Field(ge=2)] | None = None
    """Processes that share out the weights, for a model that does not fit one device: each holds its
    rows of every parameter, gradient and optimizer state. The cell then needs as many
    (`--devices-per-cell`). None: every process holds the whole model."""
    stream_seeds: dict[str, NonNegativeInt] = {}
    """Random stream (initialisation, data, dropout, selection, measure, generation, rounding) -> a
    seed of its own; the others follow the cell's seed."""
    validate_every: NonNegativeInt = 0
    """Steps between validation losses; 0: only before and after training."""
    checkpoint_every: PositiveInt = 50
    """Steps between checkpoints; an interruption loses at most these."""
    device: str = "auto"
    """`auto`: the accelerator if there is one, else `cpu`."""
    threads: PositiveInt | None = None
    """CPU threads of a cell; None: cores divided by cells at once."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if problems := list(self._contradictions()):
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.max_tokens is not None and self.micro_batch_size is not None:
            yield "micro_batch_size and max_tokens say the same: give one of them"
        if self.batching == "packed" and self.attention not in ("auto", "sdpa"):
            yield "batching: packed needs attention: sdpa (or auto)"
        if self.attention == "flash_attention_2" and self.precision == "float32":
            yield (
                "attention: flash_attention_2 is for half precision: expected precision bf16, "
                "bf16-stochastic or bf16-master"
            )
        accumulates = self.max_tokens is not None or (
            self.micro_batch_size is not None and self.micro_batch_size < self.batch_size
        )
        if self.update == "in_backward" and (self.clip.mode == "global" or accumulates):
            yield (
                "update: in_backward goes neither with clip.mode: global nor with a "
                "micro_batch_size below batch_size or with max_tokens: the whole gradient is "
                "never there at once"
            )

    @property
    def unplannable(self) -> str | None:
        """Why a step on fake tensors does not tell what this one needs; None: it does."""
        if self.compile:
            return (
                "training.compile: compiled layers keep other tensors than those that are counted"
            )
        if self.kernels != "torch":
            return (
                f"training.kernels: {self.kernels}'s keep other tensors than those that are counted"
            )
        return None

    def as_recorded(self, exclude: Collection[str] = ()) -> dict[str, Any]:
        """The settings as identities and confounds have them.

        Those that came later are in it only where they say something else than what was done before.
        """
        same = {key for key, value in _BEFORE.items() if getattr(self, key) == value}
        return self.model_dump(mode="json", exclude=same.union(exclude))


_BEFORE: dict[str, Any] = {
    "batching": "padded",
    "max_tokens": None,
    "compile": False,
    "kernels": "torch",
    "sharded": None,
}
"""What settings that came later say of what was done before."""


class EvaluationConfig(Config):
    """How benchmarks are scored."""

    batch_size: PositiveInt = 64
    max_new_tokens: PositiveInt | None = None
    """None: what each benchmark says."""
    engine: Literal["transformers", "ctranslate2"] = "transformers"
    """What generates answers. `ctranslate2` needs the extra of that name, and makes a converted copy of
    the model; log-likelihoods of choices are transformers' either way."""
    compared_answers: NonNegativeInt = 32
    """Of another engine: how many answers of a cell transformers looks at too; how many of them are its
    own stands in the result and the report."""

    def as_recorded(self) -> dict[str, Any]:
        """The settings as identities have them: of other engines only where one is asked for."""
        theirs = {"engine", "compared_answers"} if self.engine == "transformers" else set()
        return self.model_dump(mode="json", exclude=theirs)


class Cell(Config):
    """One point of a suite, fully resolved."""

    id: str
    model: ModelConfig
    method: MethodConfig
    task: TaskConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    seed: NonNegativeInt
    ablation: dict[str, Any] = {}
    """Key path -> value, where an option is ablated."""
    trial: dict[str, Any] = {}
    """Key path -> value, where they are tried: a trial is judged by its validation loss alone."""
    plugins: tuple[str, ...] = ()
    """Absolute paths of plugin files the cell's process must import."""
