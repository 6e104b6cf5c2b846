"""The digest of weights, against its definition written out again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lwft_bench.adapters.full import Full
from lwft_bench.adapters.lora import Lora
from lwft_bench.models.digests import tensor_digest, weights_digest

TINY = {
    "vocab_size": 16,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": None,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_definition() -> None:
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    b = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    expected = sha256(
        b'["a","float32",[2,2]]\n'
        + bytes.fromhex("0000803f 00000040 00004040 00008040")
        + b'["b","bfloat16",[2]]\n'
        + bytes.fromhex("803f 00c0")
    )
    assert weights_digest([("b", b), ("a", a)]) == expected
    assert tensor_digest(b) == sha256(b'["bfloat16",[2]]\n' + bytes.fromhex("803f 00c0"))


def test_strides_do_not_matter() -> None:
    a = torch.arange(6.0).reshape(2, 3)
    assert tensor_digest(a.t().contiguous().t()) == tensor_digest(a)


def test_scalars_and_empty_tensors() -> None:
    assert tensor_digest(torch.tensor(1.0)) == sha256(
        b'["float32",[]]\n' + bytes.fromhex("0000803f")
    )
    assert tensor_digest(torch.empty(0, 3)) == sha256(b'["float32",[0,3]]\n')
    empty = torch.empty(0)
    assert weights_digest([("a", empty), ("b", torch.empty(0))]) == sha256(
        b'["a","float32",[0]]\n["b","float32",[0]]\n'
    )


@pytest.mark.parametrize(
    "changed",
    [
        [("b", torch.zeros(4))],
        [("a", torch.zeros(4, dtype=torch.int32))],
        [("a", torch.zeros(2, 2))],
        [("a", torch.tensor([0.0, 0.0, 0.0, -0.0]))],
        [("a", torch.zeros(4)), ("c", torch.zeros(0))],
    ],
)
def test_name_dtype_shape_and_bits_matter(changed: list[tuple[str, torch.Tensor]]) -> None:
    assert weights_digest(changed) != weights_digest([("a", torch.zeros(4))])


def test_tied_weights_count_once_under_the_first_name() -> None:
    weight = torch.rand(3, 2)
    once = weights_digest([("z", weight)])
    assert weights_digest([("z", weight), ("a", weight.detach())]) == once
    assert weights_digest([("z", weight), ("a", weight.clone())]) != once
    assert weights_digest([("z", weight), ("a", weight[:2])]) != once


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_model_has_the_models_digest(
    tied: bool, dtype: torch.dtype, tmp_path: Path, tokenizer_folder: Path
) -> None:
    model = LlamaForCausalLM(LlamaConfig(**TINY, tie_word_embeddings=tied)).to(dtype)
    Full().save(model, AutoTokenizer.from_pretrained(tokenizer_folder), tmp_path)
    digest = weights_digest(Full().tensors(model))
    assert weights_digest(load_file(tmp_path / "model.safetensors").items()) == digest
    assert weights_digest(model.state_dict().items()) == digest


def test_saved_adapter_has_the_adapters_digest(tmp_path: Path, tokenizer_folder: Path) -> None:
    lora = Lora(Lora.Options(r=2, alpha=4))
    model = lora.apply(LlamaForCausalLM(LlamaConfig(**TINY)), seed=0)
    digest = weights_digest(lora.tensors(model))

    lora.save(model, AutoTokenizer.from_pretrained(tokenizer_folder), tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert weights_digest(saved.items()) == digest
    assert all(name.startswith("base_model.model.") for name in saved)
    assert len(saved) == sum(lora.trains(name) for name, _ in model.named_parameters())

    with torch.no_grad():
        model.get_base_model().model.embed_tokens.weight.add_(1.0)
        assert weights_digest(lora.tensors(model)) == digest
        next(p for n, p in model.named_parameters() if lora.trains(n)).add_(1.0)
    assert weights_digest(lora.tensors(model)) != digest
