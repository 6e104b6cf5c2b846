"""Token ids of large data sets, kept between cells: each cell is a process of its own.

One file a data set and tokenizer. The key is a digest of everything that ids depend on, so that no
file is ever out of date; what cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors.numpy
import tokenizers
import transformers
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from lwft_bench.data.caches import cache_folder
from lwft_bench.data.examples import Example

TokenPair = tuple[list[int], list[int]]
"""Ids of a prompt and of its target."""

CACHED_FROM = 1000
"""Examples. Fewer are tokenised in less than a second, and leave no file behind."""


def cached_pairs(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    encode: Callable[[], list[TokenPair]],
) -> list[TokenPair]:
    """What `encode` gives for the examples, from the cache if it is there, and into it if not."""
    if len(examples) < CACHED_FROM or not tokenizer.is_fast:
        return encode()
    file = cache_folder() / "tokens" / f"{_key(examples, tokenizer)}.safetensors"
    with suppress(OSError, SafetensorError):
        return _read(file)
    pairs = encode()
    with suppress(OSError):  # a cache that cannot be written is none
        _write(file, pairs)
    return pairs


def _key(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 (hex) over the tokenizer as it is, the libraries' versions and the texts."""
    facts = [
        tokenizers.__version__,
        transformers.__version__,
        type(tokenizer).__name__,
        tokenizer.split_special_tokens,
        tokenizer.backend_tokenizer.to_str(),
    ]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for example in examples:
        digest.update(json.dumps([example.prompt, example.target]).encode())
    return digest.hexdigest()


def _read(file: Path) -> list[TokenPair]:
    arrays = safetensors.numpy.load_file(file)
    ends = np.cumsum(arrays["lengths"])
    pieces = [piece.tolist() for piece in np.split(arrays["ids"], ends[:-1])]
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _write(file: Path, pairs: Sequence[TokenPair]) -> None:
    pieces = [piece for pair in pairs for piece in pair]
    content = safetensors.numpy.save(
        {
            "ids": np.concatenate([np.asarray(piece, dtype=np.int32) for piece in pieces]),
            "lengths": np.asarray([len(piece) for piece in pieces], dtype=np.int64),
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    # Several cells may write the same file at once.
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
        try:
            partial.write(content)
            partial.close()
            os.replace(partial.name, file)
        except OSError:
            Path(partial.name).unlink(missing_ok=True)
            raise
