"""Kept answers are another cell's only where everything that they depend on is equal."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lwft_bench.adapters.base import Adapter
from lwft_bench.cell import score_key
from lwft_bench.cell.loading import Loaded, load
from lwft_bench.cell.score_key import score_facts
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.evaluation.harness import as_asked
from lwft_bench.plugins.registry import adapters
from lwft_bench.schema.base import Named
from lwft_bench.schema.run import digest_of
from tests.cell.test_run import cell

WEIGHTS, FILES = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(cell("base"))


def key(loaded: Loaded, weights: str = WEIGHTS, files: str = FILES) -> str | None:
    task, template = loaded.cell.task, None
    if task.chat_template:
        template = ChatTemplate(loaded.tokenizer, task.chat_template_options)
    facts = score_facts(loaded, weights, files, as_asked(loaded.items, task.profile, template))
    return None if facts is None else digest_of(facts)


def with_cell(loaded: Loaded, part: str, **changes: Any) -> Loaded:
    changed = getattr(loaded.cell, part).model_copy(update=changes)
    return replace(loaded, cell=loaded.cell.model_copy(update={part: changed}))


def with_item(loaded: Loaded, **changes: Any) -> Loaded:
    (name, (first, *others)), *rest = loaded.items.items()
    return replace(loaded, items={name: [replace(first, **changes), *others], **dict(rest)})


def with_tokenizer(loaded: Loaded, change: Callable[[Any], object]) -> Loaded:
    tokenizer = copy.deepcopy(loaded.tokenizer)
    change(tokenizer)
    return replace(loaded, tokenizer=tokenizer)


def with_model(loaded: Loaded, change: Callable[[Any], object]) -> Loaded:
    model = copy.deepcopy(loaded.model)
    change(model)
    return replace(loaded, model=model)


SAME: dict[str, Callable[[Loaded], Loaded]] = {
    "another name of the model": lambda one: with_cell(one, "model", name="other"),
    "another method that trains nothing": lambda one: with_cell(one, "method", name="other"),
    "another training": lambda one: with_cell(one, "training", steps=7, lr=1.0, batch_size=2),
    "another seed": lambda one: replace(one, cell=one.cell.model_copy(update={"seed": 5})),
    "other training data": lambda one: replace(
        with_cell(one, "task", name="other", train_examples=7), overlap={}, num_empty=3
    ),
    "another place of the model": lambda one: with_model(
        one, lambda model: setattr(model.config, "_name_or_path", "elsewhere")
    ),
    "a tokenizer that has padded": lambda one: with_tokenizer(
        one, lambda tokenizer: tokenizer(["a", "a b c"], padding=True, truncation=True)
    ),
}

OTHER: dict[str, Callable[[Loaded], Loaded]] = {
    "prompt": lambda one: with_item(one, prompt="Q"),
    "answer": lambda one: with_item(one, answer="Q"),
    "choices": lambda one: with_item(one, choices=("Q",)),
    "id": lambda one: with_item(one, id="Q"),
    "cluster": lambda one: with_item(one, cluster="Q"),
    "fewer items": lambda one: replace(
        one, items={name: items[:3] for name, items in one.items.items()}
    ),
    "fewer benchmarks": lambda one: replace(one, items={"add-sub": one.items["add-sub"]}),
    "order of benchmarks": lambda one: replace(
        one, items={name: one.items[name] for name in reversed(list(one.items))}
    ),
    "batch size": lambda one: with_cell(one, "evaluation", batch_size=63),
    "new tokens": lambda one: with_cell(one, "evaluation", max_new_tokens=3),
    "engine": lambda one: with_cell(one, "evaluation", engine="ctranslate2"),
    "precision": lambda one: with_cell(one, "training", precision="bf16"),
    "attention": lambda one: with_cell(one, "training", attention="eager"),
    "kernels": lambda one: with_cell(one, "training", kernels="liger"),
    "what auto attention came to": lambda one: with_model(
        one, lambda model: setattr(model.config, "_attn_implementation", "eager")
    ),
    "config of the model": lambda one: with_model(
        one, lambda model: setattr(model.config, "rms_norm_eps", 0.5)
    ),
    "buffer": lambda one: with_model(one, lambda model: next(model.buffers()).add_(1)),
    "token": lambda one: with_tokenizer(one, lambda tokenizer: tokenizer.add_tokens(["lwft"])),
    "side of padding": lambda one: with_tokenizer(
        one,
        lambda tokenizer: setattr(
            tokenizer, "padding_side", {"left": "right"}.get(tokenizer.padding_side, "left")
        ),
    ),
    "special token": lambda one: with_tokenizer(
        one, lambda tokenizer: setattr(tokenizer, "pad_token", "a")
    ),
    "adapter": lambda one: with_cell(one, "method", adapter=Named(name="lora")),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_answers_do_not_depend_on(loaded: Loaded, change: Callable[[Loaded], Loaded]) -> None:
    assert key(change(loaded)) == key(loaded) is not None


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER.keys())
def test_what_answers_depend_on(loaded: Loaded, change: Callable[[Loaded], Loaded]) -> None:
    found = key(change(loaded))
    assert found is not None and found != key(loaded)


def test_definitions_count_but_for_what_they_say_of_themselves(loaded: Loaded) -> None:
    def of(**changes: Any) -> str:
        asked = as_asked(loaded.items, "clean", None)
        changed = {one.model_copy(update=changes): items for one, items in asked.items()}
        return digest_of(score_facts(loaded, WEIGHTS, FILES, changed))

    assert of() == of(title="t", description="d", licence="l", contamination="c") == key(loaded)
    others: list[dict[str, Any]] = [
        {"stop": ("x",)},
        {"extraction": "last-number"},
        {"version": "9"},
        {"num_beams": 2},
    ]
    assert len({of(), *(of(**changes) for changes in others)}) == 5


def test_weights_and_files_count(loaded: Loaded) -> None:
    keys = [key(loaded), key(loaded, weights="ef" * 32), key(loaded, files="ef" * 32)]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOCOL_VERSION", -1),
        ("versions", lambda: {"transformers": "0.1"}),
        ("_OTHER_DISTRIBUTIONS", ("no-such-distribution",)),
        ("_code", lambda: "other"),
        ("cpu", lambda: "Z80"),
    ],
)
def test_software_and_machine_count(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    before = key(loaded)
    monkeypatch.setattr(score_key, name, value)
    assert key(loaded) != before


@pytest.mark.parametrize("name", ["torch", "transformers", "lm_eval", "tokenizers", "lwft-bench"])
def test_versions_are_in_it(name: str) -> None:
    assert score_key._versions()[name]


def test_threads_instructions_and_rounding_count(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [key(loaded)]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    keys.append(key(loaded))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    keys.append(key(loaded))
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    keys.append(key(loaded))
    for name in ("MKL_CBWR", "CT2_FORCE_CPU_ISA", "DNNL_DEFAULT_FPMATH_MODE"):
        monkeypatch.setenv(name, "COMPATIBLE")
        keys.append(key(loaded))
    assert len(set(keys)) == 7
    monkeypatch.setenv("EDITOR", "another")
    assert key(loaded) == keys[-1]


def test_a_devices_name_is_the_accelerators(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_key, "accelerator", lambda: "some GPU")
    there = replace(loaded, device=torch.device("cuda"))
    keys = [key(loaded), key(there)]
    monkeypatch.setattr(score_key, "accelerator", lambda: "another GPU")
    keys.append(key(there))
    assert len(set(keys)) == 3


def test_what_cannot_be_told_has_no_key(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    class Coded(Adapter):
        def quantised(self, model: object) -> dict[str, int]:
            return {"codes": 8}

    assert key(replace(loaded, adapter=Coded())) is None
    odd = with_model(loaded, lambda model: setattr(model.config, "thing", object()))
    assert key(odd) is None
    monkeypatch.setattr(adapters, "origin", lambda name: "a/plugin.py")
    assert key(loaded) is None


def test_all_code_of_the_package_counts() -> None:
    assert score_key._code() == score_key._code.__wrapped__() and len(score_key._code()) == 64
