"""Rotary frequencies keep their digits in half precision, so that a model saved and loaded is one."""

from __future__ import annotations

from typing import Any

import torch

from lwft_bench.training.adapted import adapted_model
from tests.dry_run.test_traits import cell
from tests.training.tiny import CPU, LLAMA


def test_no_path_rounds_rotary_frequencies() -> None:
    """`model.to(bfloat16)` would: cosines at position 4095 are then off by up to 0.6."""
    found: dict[str, Any] = {}
    for precision in ("float32", "bf16"):
        _, model = adapted_model(cell(LLAMA, precision=precision), 0, CPU)
        found[precision] = dict(model.named_buffers())
    assert any(name.endswith("inv_freq") for name in found["bf16"])
    for name, buffer in found["bf16"].items():
        assert buffer.dtype == torch.float32 and torch.equal(buffer, found["float32"][name])
    rounded = found["float32"]["model.rotary_emb.inv_freq"].bfloat16().float()
    assert not torch.equal(rounded, found["bf16"]["model.rotary_emb.inv_freq"])
