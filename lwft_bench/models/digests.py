"""Digests of weights, defined exactly, so that two runs can be compared without their weights."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable

import torch
from torch import Tensor

from lwft_bench.models.sharded import made_whole

assert sys.byteorder == "little", "digests are defined over little-endian bytes"


def weights_digest(named_tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The sha256, in hex, of named tensors.

    Hashed is, for each tensor in the order of the names' code points:

    1. the UTF-8 bytes of the JSON array `[name, dtype, shape]` without spaces and with non-ASCII
       characters escaped, such as `["lm_head.weight","bfloat16",[512,128]]`, and a newline;
    2. the elements' little-endian bytes in row-major order.

    Names that share one tensor (tied weights) count once, under the name that comes first in the
    order given. The order otherwise, the device and the strides make no difference. Of tensors that
    processes share out the whole is hashed, one at a time: all of them have to ask.

    Which tensors are hashed, and under which names, is said by `Adapter.tensors`: a fully trained
    model's are `model.named_parameters()`; an adapted model's are the adapter's alone, under the
    names of the saved adapter file, which begin with `base_model.model.`.
    """
    first_names: dict[tuple[object, ...], str] = {}
    unique: dict[str, Tensor] = {}
    for name, tensor in named_tensors:
        if first_names.setdefault(_identity(tensor), name) == name:
            unique[name] = tensor
    digest = hashlib.sha256()
    for name in sorted(unique):
        header = [name, _dtype_name(unique[name]), list(unique[name].shape)]
        digest.update(json.dumps(header, separators=(",", ":")).encode() + b"\n")
        digest.update(_bytes(unique[name]))
    return digest.hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """The sha256, in hex, of one tensor: as `weights_digest`, with the header `[dtype, shape]`."""
    header = [_dtype_name(tensor), list(tensor.shape)]
    digest = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode() + b"\n")
    digest.update(_bytes(tensor))
    return digest.hexdigest()


def _identity(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two tensors only if they are the same elements of the same memory."""
    if tensor.numel() == 0 or hasattr(tensor, "full_tensor"):
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _bytes(tensor: Tensor) -> memoryview:
    """The elements' bytes: a view where the tensor is contiguous and on the host."""
    return made_whole(tensor.detach()).cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
