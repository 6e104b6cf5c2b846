"""Each check of an adapter fails on one that is wrong in that way, and says what is wrong."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from lwft_bench import UserError, check_adapter
from lwft_bench.adapters.full import Full
from lwft_bench.adapters.lora import Lora
from lwft_bench.testing.adapter_checks import ADAPTER_CHECKS, AdapterCase
from lwft_bench.testing.outcomes import outcomes


class TakesAnyOption(Full):
    class Options(BaseModel):
        pass


class FreezesTheHead(Full):
    def apply(self, model, seed):
        model.requires_grad_(True)
        model.lm_head.requires_grad_(False)
        return model


class TrainsNothing(Full):
    def apply(self, model, seed):
        return model.requires_grad_(False)

    def trains(self, name):
        return False


class NamesNoModule(Full):
    def module_of(self, name):
        return f"adapted.{name}"


class TrainsTheHeadAlone(Full):
    def apply(self, model, seed):
        model.requires_grad_(False)
        model.lm_head.requires_grad_(True)
        return model

    def trains(self, name):
        return name.startswith("lm_head")


class Draws(Full):
    def apply(self, model, seed):
        with torch.no_grad():
            model.lm_head.weight.add_(0.01 * torch.randn_like(model.lm_head.weight))
        return super().apply(model, seed)


class Widens(Full):
    def apply(self, model, seed):
        return super().apply(model.float(), seed)


class Detaches(Full):
    def apply(self, model, seed):
        model.model.embed_tokens.register_forward_hook(lambda *given: given[-1].detach())
        return super().apply(model, seed)


class GoesNowhere(Full):
    def apply(self, model, seed):
        for parameter in super().apply(model, seed).parameters():
            parameter.register_hook(torch.zeros_like)
        return model


class KeepsTheHeadBack(Full):
    def tensors(self, model):
        return [(n, p) for n, p in model.named_parameters() if not n.startswith("lm_head")]


class CountsLayersOnly(Full):
    def num_parameters(self, model):
        return 1


class SavesAPickle(Full):
    def save(self, model, tokenizer, folder):
        torch.save(model.state_dict(), folder / "model.bin")


class SuppressesForGood(Full):
    can_suppress = True

    @contextmanager
    def suppressed(self, model, names, factor):
        with torch.no_grad():
            model.lm_head.weight.mul_(factor)
        yield


class SuppressesNothing(Full):
    can_suppress = True

    @contextmanager
    def suppressed(self, model, names, factor):
        yield


class LooksAtWeights(Full):
    def apply(self, model, seed):
        if float(model.lm_head.weight.sum()) == 0.0:
            raise ValueError
        return super().apply(model, seed)


class AllocatesOnTheHost(Full):
    def apply(self, model, seed):
        size = model.lm_head.weight.shape
        model.lm_head.weight = nn.Parameter(torch.zeros(size, device="cpu"))
        return super().apply(model, seed)


BROKEN = [
    ("refuses unknown options", TakesAnyOption, "derive it from PluginOptions"),
    ("trains what it says", FreezesTheHead, r"trains\('lm_head.weight'\) is True, and requires"),
    ("trains what it says", TrainsNothing, "nothing is trained"),
    ("tells modules", NamesNoModule, "no module"),
    ("keeps layers", TrainsTheHeadAlone, "decoder layer 0 has nothing that is trained"),
    ("draws from its seed", Draws, "two models made with seed 0 differ in lm_head.weight"),
    ("leaves random streams alone", Draws, "apply drew from torch: draw from its seed"),
    ("keeps the precision", Widens, "is torch.float32 in a model of torch.bfloat16"),
    ("is reached by gradients", Detaches, "embed_tokens.weight has no gradient"),
    ("learns", GoesNowhere, "8 steps on one batch take the loss from"),
    ("hands over what it made", KeepsTheHeadBack, "lm_head.weight is trained and not among"),
    ("counts parameters", CountsLayersOnly, "num_parameters is 1, and"),
    ("saves", SavesAPickle, r"no \*\.safetensors among them"),
    ("suppresses, or refuses to", SuppressesForGood, "gives other logits than before"),
    ("suppresses, or refuses to", SuppressesNothing, "suppressed changes nothing"),
    ("runs without weights", LooksAtWeights, "meta"),
    ("runs without weights", AllocatesOnTheHost, "lm_head.weight has weights"),
]


def test_every_check_is_seen_to_fail():
    assert {check for check, _, _ in BROKEN} == set(ADAPTER_CHECKS)


@pytest.mark.parametrize(("check", "adapter", "detail"), BROKEN)
def test_broken_adapter_fails_its_check(check, adapter, detail):
    case = AdapterCase(adapter, adapter.Options())
    (outcome,) = outcomes({check: ADAPTER_CHECKS[check]}, case, adapter, 60.0)
    assert not outcome.passed
    assert re.search(detail, outcome.detail), outcome.detail


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        (Full, {}),
        (Lora, {"r": 2, "alpha": 4}),
        (Lora, {"r": 2, "alpha": 4, "dora": True}),
        ("qlora", {"r": 2, "alpha": 4}),
    ],
)
def test_shipped_adapters_pass_every_check(adapter, options):
    try:
        failed = [outcome for outcome in check_adapter(adapter, options) if not outcome.passed]
    except UserError as error:
        pytest.skip(str(error))
    assert failed == []
