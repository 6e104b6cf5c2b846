"""What is checked of an adapter, on a Llama of two small layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from lwft_bench.adapters.base import Adapter
from lwft_bench.models.digests import weights_digest
from lwft_bench.models.loading import load_tokenizer
from lwft_bench.models.parts import find_parts
from lwft_bench.models.randomness import private_stream
from lwft_bench.plugins.options import PluginOptions
from lwft_bench.schema.cell import ModelConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.testing.outcomes import CheckFailed

SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@dataclass(frozen=True)
class AdapterCase:
    """The class that is checked, and its options."""

    adapter: type[Adapter]
    options: PluginOptions

    def new(self) -> Adapter:
        return self.adapter(self.options)

    def applied(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Adapter, Any]:
        """An adapter, and the model it made of one whose weights are always the same."""
        adapter = self.new()
        return adapter, adapter.apply(_model(dtype), seed)


def _model(dtype: torch.dtype) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    with private_stream(seed=0):
        config = AutoConfig.for_model("llama", **SIZES)
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def _refuses_unknown_options(case: AdapterCase) -> str:
    try:
        case.adapter.Options(**(case.options.model_dump() | {"no_such_option": 1}))
    except ValidationError:
        return "unknown options are refused"
    raise CheckFailed("Options takes unknown keys: derive it from PluginOptions")


def _trains_what_it_says(case: AdapterCase) -> str:
    adapter, model = case.applied()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad != adapter.trains(name):
            raise CheckFailed(
                f"trains({name!r}) is {adapter.trains(name)}, and requires_grad of it is "
                f"{parameter.requires_grad}"
            )
    trained = _trained(adapter, model)
    if not trained:
        raise CheckFailed("nothing is trained")
    return f"{len(trained)} parameters are trained, of {len(list(model.parameters()))}"


def _tells_modules(case: AdapterCase) -> str:
    adapter, model = case.applied()
    modules = {name for name, _ in model.named_modules()}
    for name, _ in model.named_parameters():
        if adapter.module_of(name) not in modules:
            raise CheckFailed(f"module_of({name!r}) is {adapter.module_of(name)!r}: no module")
    return "each parameter's module is one of the model's"


def _keeps_layers(case: AdapterCase) -> str:
    """The trainer trains layers: the model must still have them, with something in each."""
    adapter, model = case.applied()
    layers = find_parts(model).layer_parameters
    if len(layers) != SIZES["num_hidden_layers"]:
        raise CheckFailed(f"of {SIZES['num_hidden_layers']} decoder layers {len(layers)} are found")
    for number, layer in enumerate(layers):
        if not any(map(adapter.trains, layer)):
            raise CheckFailed(f"decoder layer {number} has nothing that is trained")
    return f"{len(layers)} layers, each with something to train"


def _draws_from_its_seed(case: AdapterCase) -> str:
    for seed in (0, 1):
        first, second = (_values(case.applied(seed)[1]) for _ in range(2))
        differing = [name for name, value in first.items() if not torch.equal(value, second[name])]
        if differing:
            raise CheckFailed(f"two models made with seed {seed} differ in {differing[0]}")
    return "the same weights twice, for each of two seeds"


def _leaves_random_streams_alone(case: AdapterCase) -> str:
    model, before = _model(torch.float32), _global_streams()
    case.new().apply(model, 0)
    after = _global_streams()
    disturbed = [name for name in before if before[name] != after[name]]
    if disturbed:
        raise CheckFailed(f"apply drew from {', '.join(disturbed)}: draw from its seed")
    return "torch's global stream, numpy's and Python's are where they were"


def _keeps_the_precision(case: AdapterCase) -> str:
    adapter, model = case.applied(dtype=torch.bfloat16)
    for name, parameter in _trained(adapter, model).items():
        if parameter.dtype != torch.bfloat16:
            raise CheckFailed(f"{name} is {parameter.dtype} in a model of torch.bfloat16")
    return "what is trained has the model's dtype"


def _is_reached_by_gradients(case: AdapterCase) -> str:
    adapter, model = case.applied()
    model(input_ids=IDS, labels=IDS).loss.backward()
    for name, parameter in _trained(adapter, model).items():
        if parameter.grad is None or not bool(parameter.grad.isfinite().all()):
            raise CheckFailed(f"{name} has no gradient, or none that is finite")
    return "each trained parameter has a gradient"


def _learns(case: AdapterCase) -> str:
    adapter, model = case.applied()
    optimizer = torch.optim.AdamW(_trained(adapter, model).values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if not losses[-1] < losses[0]:
        raise CheckFailed(
            f"8 steps on one batch take the loss from {losses[0]:.3f} to {losses[-1]:.3f}"
        )
    return f"8 steps on one batch take the loss from {losses[0]:.3f} to {losses[-1]:.3f}"


def _hands_over_what_it_made(case: AdapterCase) -> str:
    """`tensors` is what the digest of a cell's weights is taken of."""
    adapter, model = case.applied()
    names = [name for name, _ in adapter.tensors(model)]
    if len(set(names)) < len(names):
        raise CheckFailed("tensors gives a name twice")
    for name, parameter in _trained(adapter, model).items():
        before = weights_digest(adapter.tensors(model))
        with torch.no_grad():
            parameter.add_(1)
        if weights_digest(adapter.tensors(model)) == before:
            raise CheckFailed(f"{name} is trained and not among what tensors gives")
    return f"{len(names)} tensors, with all that is trained"


def _counts_parameters(case: AdapterCase) -> str:
    adapter, model = case.applied()
    trained = sum(parameter.numel() for parameter in _trained(adapter, model).values())
    total = adapter.num_parameters(model)
    if total < trained:
        raise CheckFailed(f"num_parameters is {total}, and {trained} are trained")
    return f"{trained} of {total} parameters are trained"


def _saves(case: AdapterCase) -> str:
    adapter, model = case.applied()
    tokenizer = load_tokenizer(ModelConfig(name="embedded", path="embedded"))
    with TemporaryDirectory() as folder, redirect_stderr(StringIO()):  # progress bars
        adapter.save(model, tokenizer, Path(folder))
        names = sorted(path.name for path in Path(folder).rglob("*") if path.is_file())
    if not any(name.endswith(".safetensors") for name in names):
        raise CheckFailed(f"save writes {names}: no *.safetensors among them")
    if not any(name.startswith("tokenizer") for name in names):
        raise CheckFailed(f"save writes {names}: no tokenizer among them")
    return ", ".join(names)


def _suppresses_or_refuses(case: AdapterCase) -> str:
    adapter, model = case.applied()
    names = list(_trained(adapter, model))
    if not adapter.can_suppress:
        try:
            with adapter.suppressed(model, names, 0.5):
                pass
        except UserError:
            return "refused: can_suppress is False"
        raise CheckFailed("can_suppress is False, and suppressed does not raise UserError")
    with torch.no_grad():
        for parameter in _trained(adapter, model).values():
            parameter.add_(0.1)
        before = model(input_ids=IDS).logits
        with adapter.suppressed(model, names, 0.5):
            suppressed = model(input_ids=IDS).logits
        after = model(input_ids=IDS).logits
    if torch.equal(before, suppressed):
        raise CheckFailed("suppressed changes nothing")
    if not torch.equal(before, after):
        raise CheckFailed("after suppressed the model gives other logits than before")
    return "suppressed inside, and afterwards as before"


def _runs_without_weights(case: AdapterCase) -> str:
    """On the meta device, as plans do."""
    adapter = case.new()
    with torch.device("meta"):
        model = adapter.apply(_model(torch.bfloat16), 0)
    real = {name for name, parameter in model.named_parameters() if not parameter.is_meta}
    if real:
        raise CheckFailed(f"{sorted(real)[0]} has weights, of a model on the meta device")
    return "can be planned without weights"


def _trained(adapter: Adapter, model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if adapter.trains(name)}


def _values(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _global_streams() -> dict[str, Any]:
    numpy_state = [str(part) for part in np.random.get_state()]
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy.random": numpy_state,
        "random": random.getstate(),
    }


ADAPTER_CHECKS: dict[str, Callable[[AdapterCase], str]] = {
    "refuses unknown options": _refuses_unknown_options,
    "trains what it says": _trains_what_it_says,
    "tells modules": _tells_modules,
    "keeps layers": _keeps_layers,
    "draws from its seed": _draws_from_its_seed,
    "leaves random streams alone": _leaves_random_streams_alone,
    "keeps the precision": _keeps_the_precision,
    "is reached by gradients": _is_reached_by_gradients,
    "learns": _learns,
    "hands over what it made": _hands_over_what_it_made,
    "counts parameters": _counts_parameters,
    "saves": _saves,
    "suppresses, or refuses to": _suppresses_or_refuses,
    "runs without weights": _runs_without_weights,
}
