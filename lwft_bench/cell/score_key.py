"""What the scores of an untrained model depend on: where all of it is equal, so are the answers.

This is the one place that says so. Nothing of it names a place, a suite, a method or a seed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import lwft_bench
from lwft_bench.adapters.full import Full
from lwft_bench.cell.loading import Loaded
from lwft_bench.cell.provenance import accelerator, cpu, versions
from lwft_bench.data.benchmarks import DOCUMENTATION, BenchmarkConfig
from lwft_bench.data.examples import Item
from lwft_bench.models.digests import weights_digest
from lwft_bench.models.sharded import is_shared_out
from lwft_bench.plugins.registry import BUILT_IN, adapters
from lwft_bench.schema.result import PROTOCOL_VERSION
from lwft_bench.schema.run import digest_of

_OTHER_DISTRIBUTIONS = (
    "accelerate",
    "bitsandbytes",
    "causal-conv1d",
    "ctranslate2",
    "flash-attn",
    "flash-linear-attention",
    "kernels",
    "liger-kernel",
    "mamba-ssm",
    "tokenizers",
    "triton",
)
"""What computes answers, or tokens, where it is installed, beside what provenance names."""

_ENVIRONMENT = (
    "ATEN_",
    "CT2_",
    "CUBLAS_",
    "CUDNN_",
    "DNNL_",
    "MKL_",
    "NVIDIA_TF32",
    "ONEDNN_",
    "TORCH_",
)
"""What the names of variables begin with that may change how products are computed and rounded."""

_NOT_ASKED = {*DOCUMENTATION, "source"}
"""Keys of a benchmark that answers do not depend on once its items are known."""


def score_facts(
    loaded: Loaded, weights: str, files: str | None, asked: Mapping[BenchmarkConfig, Sequence[Item]]
) -> dict[str, Any] | None:
    """All that the cell's answers depend on, as JSON has it; None where not all of it can be told.

    What is too large for a file is in it as a digest.

    Args:
        weights: Digest of the adapter's tensors.
        files: Digest of the model's files, of the cell's identity.
        asked: What the model is asked.
    """
    cell, model, tokenizer = loaded.cell, loaded.model, loaded.tokenizer
    adapter = cell.method.adapter
    known = adapters.origin(adapter.name) == BUILT_IN and tokenizer.is_fast
    if not known or is_shared_out(model) or loaded.adapter.quantised(model):
        return None
    try:
        return {
            "weights": weights,
            "other_tensors": _other_tensors(loaded),
            "files": files,
            "model": _model(model),
            "adapter": adapter.model_dump(mode="json"),
            "precision": cell.training.precision,
            "attention": [cell.training.attention, _attention(model)],
            "kernels": cell.training.kernels,
            "tokenizer": _tokenizer(tokenizer),
            "benchmarks": [_benchmark(*one) for one in asked.items()],
            "evaluation": cell.evaluation.model_dump(mode="json"),
            "protocol": PROTOCOL_VERSION,
            "versions": _versions(),
            "code": _code(),
            "device": _device(loaded.device),
        }
    except (OSError, TypeError, ValueError):  # what JSON cannot say of a model's own config
        return None


def _other_tensors(loaded: Loaded) -> str:
    """Digest of buffers, and of weights that the adapter's are beside."""
    tensors = dict(loaded.model.named_buffers())
    if not isinstance(loaded.adapter, Full):
        tensors |= dict(loaded.model.named_parameters())
    return weights_digest(tensors.items())


def _attention(model: Any) -> str | None:
    """What `auto` came to."""
    found = getattr(model.config, "_attn_implementation", None)
    return None if found is None else str(found)


def _model(model: PreTrainedModel | Any) -> dict[str, str]:
    """Its class, and its config without the place that it was read from."""
    inner = model if isinstance(model, PreTrainedModel) else model.get_base_model()
    config = json.loads(inner.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)
    kind = type(inner)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "config": digest_of(config)}


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Without the padding and truncation of the last call."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for key in ("padding", "truncation"):
        backend.pop(key, None)
    settings = {
        key: str(getattr(tokenizer, key, None))
        for key in (
            "add_bos_token",
            "add_eos_token",
            "clean_up_tokenization_spaces",
            "model_max_length",
            "padding_side",
            "special_tokens_map",
            "split_special_tokens",
            "truncation_side",
        )
    }
    return digest_of([type(tokenizer).__qualname__, settings, backend])


def _benchmark(benchmark: BenchmarkConfig, items: Sequence[Item]) -> dict[str, Any]:
    return {
        "name": benchmark.name,
        "version": benchmark.version,
        "definition": digest_of(benchmark.model_dump(mode="json", exclude=_NOT_ASKED)),
        "items": digest_of([asdict(item) for item in items]),
    }


def _versions() -> dict[str, str | None]:
    found = versions() | {"torch build": str(torch.__version__)}
    for name in _OTHER_DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@cache
def _code() -> str:
    """sha256 (hex) over this package's code, which changes before its version does."""
    package = Path(lwft_bench.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _device(device: torch.device) -> dict[str, Any]:
    """Its kind and name, and how it is used."""
    facts: dict[str, Any] = {
        "type": device.type,
        "float32_products": torch.get_float32_matmul_precision(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(_ENVIRONMENT)
        },
    }
    if device.type == "cpu":
        return facts | {
            "name": cpu(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }
    return facts | {
        "name": accelerator(),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "cudnn": torch.backends.cudnn.version(),
    }
