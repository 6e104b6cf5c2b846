from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from transformers import LlamaConfig, LlamaForCausalLM

from lwft_bench.memory.fake import fake_model


def small_llama(**options: object) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        **options,
    )
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def test_every_tensor_becomes_fake_on_the_cpu() -> None:
    meta = small_llama().to(torch.bfloat16)
    expected = {
        name: (tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad)
        for name, tensor in [*meta.named_parameters(), *meta.named_buffers()]
    }
    model = fake_model(meta, FakeTensorMode())
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    assert "model.rotary_emb.inv_freq" in tensors
    assert expected == {
        name: (tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad)
        for name, tensor in tensors.items()
    }
    for tensor in tensors.values():
        assert isinstance(tensor, FakeTensor)
        assert tensor.device.type == "cpu"
    assert all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())
    assert "model.rotary_emb.inv_freq" not in model.state_dict()


def test_frozen_stays_frozen_and_tied_stays_tied() -> None:
    meta = small_llama(tie_word_embeddings=True)
    meta.model.norm.weight.requires_grad_(False)
    model = fake_model(meta, FakeTensorMode())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.model.norm.weight.requires_grad
    assert model.lm_head.weight.requires_grad


def test_plain_attributes_become_fake() -> None:
    module = nn.Module()
    module.table = torch.ones(3, device="meta")
    assert isinstance(fake_model(module, FakeTensorMode()).table, FakeTensor)


def test_hooks_fire_on_fake_parameters() -> None:
    mode = FakeTensorMode()
    model = fake_model(small_llama(), mode)
    fired = []
    for name, parameter in model.named_parameters():

        def hook(parameter: torch.Tensor, name: str = name) -> None:
            fired.append(name)
            parameter.grad = None

        parameter.register_post_accumulate_grad_hook(hook)
    with mode:
        ids = torch.zeros(2, 8, dtype=torch.long)
        model(input_ids=ids, labels=ids).loss.backward()
    assert sorted(fired) == sorted(name for name, _ in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
