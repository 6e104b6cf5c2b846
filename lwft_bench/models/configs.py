"""A model's transformers config, and errors of transformers as messages. Light to import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from lwft_bench.models.sources import (
    config_folder,
)
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError, described, text_of
from lwft_bench.schema.naming import nearest
from lwft_bench.schema.regular_files import Unreadable, read_json_object

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def transformers_config(config: ModelConfig) -> PreTrainedConfig:
    """The config that transformers makes of a model's files or keys.

    Raises:
        UserError: It cannot be found or read, or transformers does not know it.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    if config.config is None:
        folder = config_folder(config)
        require_json(config, folder, ("config.json",))
        with user_errors(config, f"{folder / 'config.json'}"):
            read = AutoConfig.from_pretrained(
                folder, trust_remote_code=config.trust_remote_code, local_files_only=True
            )
        _require_causal_class(config, read)
        return read
    model_type = config.config.get("model_type", "")
    if model_type not in CONFIG_MAPPING:
        close = nearest(str(model_type), CONFIG_MAPPING)
        raise UserError(
            f"model {config.name}: config.model_type: transformers knows no {model_type!r}"
            + (f"; did you mean {close!r}?" if close else "")
        )
    with user_errors(config, "the key `config` of the suite"):
        built = AutoConfig.for_model(**config.config)
    # transformers keeps a key that it does not know as an attribute, and ignores it, unless the
    # model's code looks for it there (Qwen3-MoE's `head_dim`).
    try:
        known = vars(CONFIG_MAPPING[model_type]())
    except Exception:  # whatever its own checks raise: some defaults do not pass them
        known = vars(built)
    for key in config.config:
        if key in vars(built) and key not in known and key not in _model_code(type(built)):
            close = nearest(key, known)
            raise UserError(
                f"model {config.name}: config.{key}: a {model_type} config has no such key"
                + (f"; did you mean {close!r}?" if close else "")
            )
    _require_causal_class(config, built)
    return built


def _require_causal_class(config: ModelConfig, built: PreTrainedConfig) -> None:
    """Encoders with decoders, and models of pictures or sound that wrap one of text, have none.

    Raises:
        UserError: With what to load in its place, where the config tells.
    """
    from transformers import AutoModelForCausalLM

    causal = AutoModelForCausalLM._model_mapping
    if type(built) in causal or config.trust_remote_code:
        return
    text = built.get_text_config(decoder=True)
    problem = f"transformers has no causal language model for model_type {built.model_type!r}"
    hint = "Name a decoder-only language model."
    if text is not built and type(text) in causal:
        problem += f", which is a wrapper around a {text.model_type}"
        name = getattr(causal[type(text)], "__name__", text.model_type)
        hint = f"Name a folder or hub model that is its language model alone: a {name}."
    elif built.is_encoder_decoder:
        problem += ", an encoder with a decoder"
    place = "" if config.path is None else f" ({config.path})"
    raise UserError(f"model {config.name}{place}: {problem}", hint)


def require_json(config: ModelConfig, folder: Path, names: Sequence[str]) -> None:
    """Files that are there are whole JSON objects: told with file and line, as libraries do not."""
    for name in names:
        if (folder / name).exists():
            try:
                read_json_object(folder / name)
            except Unreadable as error:
                raise UserError(f"model {config.name}: {error.message}") from error


def _model_code(config_class: type) -> str:
    """The source of the models that transformers builds from such configs."""
    from importlib.util import find_spec

    found = find_spec(config_class.__module__.replace(".configuration_", ".modeling_"))
    return Path(found.origin).read_text("utf-8") if found and found.origin else ""


def config_place(config: ModelConfig) -> str:
    """How messages call a model's config: by its file, if it has one."""
    return "its config" if config.path is None else str(config_folder(config) / "config.json")


@contextmanager
def user_errors(
    config: ModelConfig, what: str | None = None, *, every: bool = True
) -> Iterator[None]:
    """What transformers says of unusable model files and configs, as a UserError.

    what: the file at fault. every: nothing but reading it can go wrong, so that every error is its
    own, as what a library raises of a broken file depends on where it is broken.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    known = (
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        ImportError,
        AssertionError,
        SafetensorError,
        StrictDataclassError,
    )
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if (what is None or not every) and not isinstance(error, known):
            raise
        told = isinstance(error, OSError | ValueError | SafetensorError)
        message = text_of(error) if told else described(error)
        hint = None
        if "trust_remote_code" in message:
            hint = "If you trust the code that comes with it: `trust_remote_code: true`"
        elif "attn_implementation" in message:
            hint = "Set `training.attention: auto`, which takes what the model has"
        elif isinstance(error, SafetensorError):
            hint = "Is a *.safetensors file cut short, or a git-lfs pointer (`git lfs pull`)?"
        where = f" ({config.path})" if config.path else ""
        found = f"{what} cannot be used: " if what else ""
        raise UserError(
            f"model {config.name}{where}: {found}{shorten(message, 300)}", hint
        ) from error
