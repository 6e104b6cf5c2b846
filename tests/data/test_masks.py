"""Right-padded batches without a mask: the same numbers, and the same path for fake tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from lwft_bench.data.masks import unmasked

LENGTHS = (20, 13, 5)
PADDED_LENGTH = 24
WINDOW = 8
"""Shorter than the rows, so that a lost sliding window shows."""

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
GROUPED = {"num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "gemma": {**GROUPED, "head_dim": 8},
    "gemma2": {**GROUPED, "head_dim": 8, "sliding_window": WINDOW},
    "mistral": {**GROUPED, "sliding_window": WINDOW},
    "qwen2": {
        **GROUPED,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "max_window_layers": 1,
    },
    "gpt2": {"n_inner": 48},
    "gpt_neox": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi": {},
    "bloom": {},
}
WITHOUT_SDPA = ("gemma2", "bloom")
CASES = [(family, "eager" if family in WITHOUT_SDPA else "sdpa") for family in FAMILIES]
CASES += [("llama", "eager"), ("qwen2", "eager")]


def config(family: str) -> PreTrainedConfig:
    return AutoConfig.for_model(family, **SIZES, **SPECIAL, **FAMILIES[family])


def build(family: str, attention: str) -> nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(family), attn_implementation=attention)
    return model.eval()


def padded_rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = torch.full((len(LENGTHS), PADDED_LENGTH), SPECIAL["pad_token_id"])
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(2, 64, (length,), generator=generator)
    return ids


class Calls(TorchFunctionMode):
    """Notes the torch functions called, and whether attentions were given a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = torch.overrides.resolve_name(function) or str(function)
        if kwargs.get("attn_mask") is not None:
            name += " with a mask"
        if not name.endswith(
            "__get__"
        ):  # fake tensors answer for their shape and device themselves
            self.names.append(name)
        return function(*args, **kwargs)

    def attentions(self) -> list[str]:
        return [name for name in self.names if "scaled_dot_product_attention" in name]


class ValuesRead(TorchDispatchMode):
    """Fails where a tensor's value is asked for."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert function is not torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("family", "attention"), CASES)
def test_real_tokens_get_the_logits_of_unpadded_rows(family: str, attention: str) -> None:
    model, ids = build(family, attention), padded_rows()
    with torch.no_grad(), unmasked():
        padded = model(input_ids=ids, attention_mask=None, use_cache=False).logits
    for row, length in enumerate(LENGTHS):
        with torch.no_grad():
            alone = model(input_ids=ids[row : row + 1, :length], use_cache=False).logits[0]
        torch.testing.assert_close(padded[row, :length], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "attention"), CASES)
def test_gradients_are_those_of_a_padding_mask(family: str, attention: str) -> None:
    model, ids = build(family, attention), padded_rows()
    mask = torch.arange(PADDED_LENGTH) < torch.tensor(LENGTHS)[:, None]

    def gradients(attention_mask: torch.Tensor | None) -> list[torch.Tensor]:
        model.zero_grad()
        with unmasked():
            logits = model(input_ids=ids, attention_mask=attention_mask, use_cache=False).logits
        targets = ids[:, 1:][mask[:, 1:]]
        nn.functional.cross_entropy(logits[:, :-1][mask[:, 1:]], targets).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for without, with_mask in zip(gradients(None), gradients(mask.long()), strict=True):
        torch.testing.assert_close(without, with_mask, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "attention"), CASES)
def test_no_value_is_read_and_fakes_take_the_same_path(family: str, attention: str) -> None:
    model, ids = build(family, attention), padded_rows()
    with unmasked(), torch.no_grad(), ValuesRead(), Calls() as real:
        model(input_ids=ids, attention_mask=None, use_cache=False)
    with FakeTensorMode(), unmasked(), torch.no_grad():
        fake_model = build(family, attention)
        ids = torch.zeros((len(LENGTHS), PADDED_LENGTH), dtype=torch.int64)
        with Calls() as fake:
            fake_model(input_ids=ids, attention_mask=None, use_cache=False)
    assert fake.names == real.names


def test_kernels_get_a_mask_only_for_windows() -> None:
    def masked(family: str) -> list[bool]:
        with unmasked(), torch.no_grad(), Calls() as calls:
            build(family, "sdpa")(input_ids=padded_rows(), use_cache=False)
        return ["with a mask" in name for name in calls.attentions()]

    assert masked("llama") == masked("gpt2") == [False, False]
    assert masked("mistral") == [True, True]
    assert masked("qwen2") == [False, True]
