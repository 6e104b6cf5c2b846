"""Models and tokenizers from a folder, the hub or a config. Light to import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwft_bench.models.configs import (
    config_place,
    require_json,
    transformers_config,
    user_errors,
)
from lwft_bench.models.end_tokens import without_end
from lwft_bench.models.sources import (
    config_folder,
    config_has_weights,
    model_digest,
    model_folder,
    tokenizer_folder,
)
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.regular_files import read_json_object

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "empty_model",
    "load_model",
    "load_tokenizer",
    "model_digest",
    "require_shape",
]

SHAPE_FIELDS = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
)
"""Without these a config says nothing about a model's size."""


COUNTED_AS_SDPA = ("flash_attention_2", "flex_attention")
"""Attention that cannot be built without its package or device; like sdpa it keeps no scores."""
_ANY_TEXT = "The answer is 5."
TOKENIZER_JSON = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer. One without a padding token pads with its end-of-sequence token, and one
    that ends every text by it no longer does.

    Raises:
        UserError: it cannot be found or read, has no token to pad with, or pads or ends texts with
            a token that the model has no embedding for. Others may lack one (Gemma 3's for
            pictures) while no text has them.
    """
    from transformers import AutoTokenizer

    folder = tokenizer_folder(config)
    require_json(config, folder, TOKENIZER_JSON)
    with user_errors(config, f"the tokenizer in {folder} ({', '.join(TOKENIZER_JSON[:2])})"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=config.trust_remote_code, local_files_only=True
        )
        without_end(config, tokenizer)
        tokenizer(_ANY_TEXT)  # some that load cannot be used
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"model {config.name}: the tokenizer has no end-of-sequence token",
                _hint_of_end(config, folder, tokenizer),
            )
        tokenizer.pad_token = tokenizer.eos_token
    vocab_size = transformers_config(config).get_text_config().vocab_size
    needed = [tokenizer.pad_token_id, tokenizer.eos_token_id]
    if max(number for number in needed if number is not None) >= vocab_size:
        raise UserError(
            f"model {config.name}: the tokenizer has {len(tokenizer)} tokens and the model only"
            f" {vocab_size} embeddings (vocab_size)"
        )
    return tokenizer


def _hint_of_end(config: ModelConfig, folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """A tokenizer.json alone does not say which token ends texts; the model's config may, by its id."""
    hint = f'Name it in {folder / "tokenizer_config.json"}: "eos_token": ...'
    ends = transformers_config(config).get_text_config().eos_token_id
    numbers = ends if isinstance(ends, list) else [ends] if isinstance(ends, int) else []
    tokens = [tokenizer.convert_ids_to_tokens(number) for number in numbers]
    if known := [repr(token) for token in tokens if isinstance(token, str)]:
        hint += f" (the model's config says {' or '.join(known)})"
    return hint


def load_model(
    config: ModelConfig, *, dtype: torch.dtype, attention: str, seed: int
) -> PreTrainedModel:
    """The model on the CPU, all floating-point weights in `dtype`, in evaluation mode.

    A model given by `config` has no weights: they are drawn from `seed`, in `dtype`, as are those of
    layers that `config.reinitialise` names, for which the model is there twice for a moment. torch's
    global random streams are left as they were. Then `config.gain` and `config.rescale` are applied.

    Args:
        attention: transformers' `attn_implementation`: "eager" or "sdpa"; "auto" for the best that
            the model has.

    Raises:
        UserError: it cannot be found or read, its weights do not fit its config, or it lacks the
            attention implementation.
    """
    from transformers import AutoModelForCausalLM

    from lwft_bench.models.gains import multiply_gains, rescale
    from lwft_bench.models.planting import plant
    from lwft_bench.models.randomness import private_stream

    if config.path is None:
        with private_stream(seed):
            return _build(config, dtype, attention)
    folder = model_folder(config)
    with user_errors(config), private_stream(seed):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=_implementation(attention),
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            local_files_only=True,
            # Reported below, with what is missing; transformers would draw these at random.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    model, info = loaded
    unfit = sorted([*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])])
    if unfit:
        files = ", ".join(file.name for file in sorted(folder.glob("*.safetensors"))[:3])
        raise UserError(
            f"model {config.name}: {folder} lacks weights that its config.json asks for, or has"
            f" them ({files}) in another shape ({len(unfit)} in all): {', '.join(unfit[:3])}"
        )
    if config.reinitialise:
        with private_stream(seed):
            plant(model, _build(config, dtype, attention), config)
    model.eval()
    if config.gain:
        multiply_gains(model, config.gain)
    if config.rescale:
        rescale(model, config.rescale)
    return model


def empty_model(config: ModelConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """The model on the meta device: names, shapes and dtypes as of `load_model`, no memory.

    Kernels that need a device are sdpa here, which keeps as much. Where the weights are on this machine,
    what they tie is tied, whatever the config says.

    Raises:
        UserError: as `load_model`.
    """
    import torch

    from lwft_bench.models.ties import untie_as_in

    # Without weights and memory, nothing else than the config can be at fault.
    every = not config.trust_remote_code  # or the code that came with it
    with user_errors(config, config_place(config), every=every), torch.device("meta"):
        model = _build(config, dtype, "sdpa" if attention in COUNTED_AS_SDPA else attention)
    if config.path is not None and config_has_weights(config):
        with user_errors(config):
            untie_as_in(model_folder(config), model)
    return model


def require_shape(config: ModelConfig) -> None:
    """Refuses a config that leaves its shape to transformers' defaults: those of some other model.

    Raises:
        UserError: a field is not there.
    """
    from transformers import CONFIG_MAPPING

    built = type(transformers_config(config))
    given, place = config.config, ""
    if given is None:
        file = config_folder(config) / "config.json"
        given, place = read_json_object(file), f" ({file})"
    if built not in CONFIG_MAPPING.values() or hasattr(built(), "text_config"):
        return  # a model's own code, or a config of configs: its defaults are its own affair
    for field in SHAPE_FIELDS:
        name = built.attribute_map.get(field, field)
        if field not in given and name not in given:
            raise UserError(
                f"model {config.name}: its config{place} lacks {name}, without which its shape would"
                f" be a guess (transformers would take {getattr(built(), name, None)})",
                f"Add `{name}` to the config.",
            )


def _implementation(attention: str) -> str | None:
    """What transformers calls it: without a name it takes sdpa where the model has that."""
    return None if attention == "auto" else attention


def _build(config: ModelConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """The model with initial weights, on torch's current device."""
    from transformers import AutoModelForCausalLM

    with user_errors(config, config_place(config), every=False):
        model = AutoModelForCausalLM.from_config(
            transformers_config(config),
            dtype=dtype,
            attn_implementation=_implementation(attention),
            trust_remote_code=config.trust_remote_code,
        )
    _keep_in_float32(model)
    return model.eval()


def _keep_in_float32(model: PreTrainedModel) -> None:
    """What transformers does when it loads weights, and not when it builds a model from a config."""
    import torch
    from torch import nn

    kept = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    if not kept or model.dtype not in (torch.float16, torch.bfloat16):
        return
    globs = (re.escape(glob).replace(r"\*", ".*") for glob in kept)
    pattern = re.compile("|".join(globs))
    for path, module in model.named_modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and pattern.search(f"{path}.{name}"):
                module._parameters[name] = nn.Parameter(parameter.detach().float())
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and pattern.search(f"{path}.{name}"):
                module._buffers[name] = buffer.float()
