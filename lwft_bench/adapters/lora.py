"""Low-rank adapters: LoRA, rsLoRA and DoRA, by peft. Light to import."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from lwft_bench.adapters.base import Adapter
from lwft_bench.adapters.fused_experts import require_fused_experts
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.schema.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lwft_bench.adapters.base import Model


LLM_ADAPTERS_TARGETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "attention": (
        ("q_proj", "k_proj", "v_proj"),
        ("qkv_proj",),
        ("query_key_value",),
        ("Wqkv",),
        ("c_attn",),
    ),
    "mlp": (
        ("up_proj", "down_proj"),
        ("gate_up_proj", "down_proj"),
        ("dense_h_to_4h", "dense_4h_to_h"),
        ("fc_in", "fc_out"),
        ("fc1", "fc2"),
        ("mlp.c_fc", "mlp.c_proj"),
    ),
}
"""Targets of LLM-Adapters (arXiv 2304.01933): query, key and value, and the MLP's way up and down,
neither its gate nor the attention's output. The first row of each is the one for Llama; the others
are what other families call the same, fused where they fuse it (Phi-3's way up with its gate)."""


Targets = Literal["llm-adapters", "all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)]


class Lora(Adapter):
    """Low-rank adapters (LoRA, arXiv 2106.09685) or DoRA (arXiv 2402.09353), by peft.

    Adapters have the model's dtype, not peft's default of float32 beside half-precision weights, so
    that methods are compared at one precision.
    """

    name = "lora"
    can_suppress = True

    class Options(PluginOptions):
        r: PositiveInt
        """Rank."""
        alpha: PositiveInt
        """The update is scaled by alpha / r."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """On the adapters' input."""
        targets: Targets = "llm-adapters"
        """Linear modules to adapt, by the end of their qualified names; `llm-adapters`: query, key,
        value, up and down, by whatever name the model has for them, or every linear module of the
        layers where it has a name for none; `all-linear`: those of layers. The experts of a mixture
        that are fused into one tensor are not among them: see `experts`."""
        experts: bool = False
        """Adapt the experts of a mixture, too, that are fused into tensors of three dimensions: each
        with matrices of its own. Needs dropout 0 and no DoRA. The adapted weights of a layer are put
        together for each forward pass and kept for the backward pass."""
        rslora: bool = False
        """Scale by alpha / sqrt(r) (rsLoRA, arXiv 2312.03732)."""
        dora: bool = False
        """Train magnitudes apart from directions (DoRA)."""

        @model_validator(mode="after")
        def _check_experts(self) -> Self:
            if self.experts and (self.dora or self.dropout):
                raise ValueError("experts: peft adapts them without dropout and DoRA alone")
            return self

    options: Lora.Options

    def apply(self, model: PreTrainedModel, seed: int) -> Model:
        """Raises:
        UserError: a target matches no linear module, or peft would adapt another one; experts are to
            be adapted, and none is fused.
        """
        from peft import LoraConfig, get_peft_model
        from transformers.pytorch_utils import Conv1D

        from lwft_bench.models.randomness import private_stream

        linear = _linear_modules(model)
        targets = _targets(model, linear, self.options.targets)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=self.options.r,
            lora_alpha=self.options.alpha,
            lora_dropout=self.options.dropout,
            target_modules=list(targets),
            target_parameters=require_fused_experts(model) if self.options.experts else None,
            use_rslora=self.options.rslora,
            use_dora=self.options.dora,
            fan_in_fan_out=any(
                isinstance(module, Conv1D) and _ends_with(name, targets)
                for name, module in linear.items()
            ),
        )
        with private_stream(seed), warnings.catch_warnings():
            # peft asks transformers by a name that transformers has since deprecated.
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
        if next(adapted.parameters()).is_meta:
            _as_base_layers(adapted)
        # peft's new modules are in training mode: their dropout would act in evaluation.
        return adapted.train(model.training)

    def trains(self, name: str) -> bool:
        """Adapter parameters: `lora_A`, `lora_B` and DoRA's `lora_magnitude_vector`."""
        return any(module.startswith("lora_") for module in name.split("."))

    def adds(self, name: str) -> bool:
        return self.trains(name)

    def module_of(self, name: str) -> str:
        adapted, is_adapter, _ = name.partition(".lora_")
        found = adapted if is_adapter else super().module_of(name)
        while found.endswith(".base_layer"):  # each fused tensor of a module is wrapped once more
            found = found.removesuffix(".base_layer")
        return found

    @contextmanager
    def suppressed(self, model: nn.Module, names: Iterable[str], factor: float) -> Iterator[None]:
        """Scales alpha / r: of LoRA's update, and of the direction's update in DoRA, whose
        magnitudes stay.
        """
        adapted = {name.partition(".lora_")[0] for name in names if self.adds(name)}
        modules: list[Any] = [model.get_submodule(name) for name in sorted(adapted)]
        scalings = [module.scaling for module in modules]
        try:
            for module in modules:
                module.scaling = {key: factor * scale for key, scale in module.scaling.items()}
            yield
        finally:
            for module, scaling in zip(modules, scalings, strict=True):
                module.scaling = scaling

    def tensors(self, model: Model) -> Iterable[tuple[str, Tensor]]:
        """The adapter's tensors under their names in the saved file, `base_model.model.<...>`."""
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(model, save_embedding_layers=False).items()

    def save(self, model: Model, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """A peft adapter folder: the adapter alone, to be loaded on top of the base model."""
        model.save_pretrained(str(folder), save_embedding_layers=False)
        tokenizer.save_pretrained(folder)

    def load(self, model: Model, folder: Path) -> None:
        """The adapter's tensors alone."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def _as_base_layers(model: nn.Module) -> None:
    """Gives adapters the dtype of what they adapt, which peft leaves out on the meta device."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            fused = getattr(module, "get_param", None)
            dtype = (fused() if fused else module.get_base_layer().weight).dtype
            if dtype.is_floating_point:
                for name in module.adapter_layer_names:
                    getattr(module, name).to(dtype)


def _linear_modules(model: nn.Module) -> dict[str, nn.Module]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def _ends_with(name: str, suffixes: Iterable[str]) -> bool:
    """Peft's own rule for target modules."""
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)


def _refusal(model: nn.Module, target: str) -> str | None:
    """Why peft would not adapt the modules of that name; None: it would.

    For mixtures that transformers has fused, peft reads targets as those of the unfused model. Of some
    state-space models it leaves alone what their kernels read directly.
    """
    from peft import LoraConfig
    from peft.tuners import tuners_utils

    config = LoraConfig(target_modules=[target])
    check = getattr(tuners_utils, "_check_lora_target_modules_mamba", None)
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

        convert_peft_config_for_transformers(config, model, None)
    except ImportError:  # versions that convert nothing
        pass
    except ValueError as error:  # it wants the others that are fused with it, too
        return str(error)
    if set(config.target_modules or ()) != {target}:
        return f"it takes {target} for the fused experts of this model"
    try:
        if check is not None:
            check(config, model, target.rpartition(".")[2])
    except ValueError as error:
        return str(error)
    return None


def _targets(model: nn.Module, linear: Iterable[str], asked: Targets) -> tuple[str, ...]:
    """Suffixes of the modules to adapt, each of which matches at least one."""
    from lwft_bench.models.parts import find_parts

    def matches(target: str) -> bool:
        return any(_ends_with(name, [target]) for name in linear)

    stack = f"{find_parts(model).decoder_path}."
    in_layers = (name.removeprefix(stack) for name in linear if name.startswith(stack))
    names = sorted({name.partition(".")[2] for name in in_layers})
    every = [target for target in names if _refusal(model, target) is None]
    if isinstance(asked, str):
        named = [
            target
            for alternatives in LLM_ADAPTERS_TARGETS.values()
            for target in next((row for row in alternatives if all(map(matches, row))), ())
            if _refusal(model, target) is None
        ]
        if found := named if named and asked == "llm-adapters" else every:
            return tuple(found)
        problem = "the layers have no linear modules"
    else:
        unmatched = [target for target in asked if not matches(target)]
        refused = [reason for target in asked if (reason := _refusal(model, target))]
        if not unmatched and not refused:
            return asked
        problem = (
            f"no linear module is named {', '.join(unmatched)}"
            if unmatched
            else f"peft cannot adapt them: {refused[0]}"
        )
    present = {
        name.removeprefix(stack).partition(".")[2] if name.startswith(stack) else name
        for name in linear
    }
    raise UserError(
        f"adapter.targets: {problem}",
        f"Name them by hand; the linear modules are: {', '.join(sorted(present))}",
    )
