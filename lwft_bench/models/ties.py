"""Whether embeddings and head are one matrix: by the files, where they say other than the config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def untie_as_in(folder: Path, model: PreTrainedModel) -> None:
    """Gives each tied parameter a matrix of its own if the folder's weights hold two different ones.

    That is what transformers loads then, whatever the config says. Of an empty model, in place.
    """
    from torch import nn

    tied: dict[str, str] = dict(getattr(model, "all_tied_weights_keys", None) or {})
    if not tied:
        return
    files = _files_of_weights(folder)
    for target, source in tied.items():
        if target not in files or source not in files:
            continue
        if not _equal(files, target, source):
            owner, _, name = target.rpartition(".")
            module = model.get_submodule(owner)
            setattr(module, name, nn.Parameter(model.get_parameter(source).detach().clone()))


def _files_of_weights(folder: Path) -> dict[str, Path]:
    """The file of each weight, by name."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with _opened(file) as weights:
            found |= dict.fromkeys(weights.keys(), file)
    return found


def _equal(files: dict[str, Path], one: str, other: str) -> bool:
    import torch

    first, second = _tensor(files[one], one), _tensor(files[other], other)
    return first.shape == second.shape and torch.equal(first, second)


def _tensor(file: Path, name: str) -> torch.Tensor:
    with _opened(file) as weights:
        tensor: torch.Tensor = weights.get_tensor(name)
    return tensor


def _opened(file: Path) -> Any:
    from safetensors import safe_open

    return safe_open(file, framework="pt")
