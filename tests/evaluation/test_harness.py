"""Scores are right, whatever the batch size; and nothing is changed, written or said."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from lwft_bench.adapters.lora import Lora
from lwft_bench.data.examples import Item
from lwft_bench.evaluation.harness import Evaluation, evaluate
from lwft_bench.schema.cell import EvaluationConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.shipped import shipped

GENERATE = "add-sub"
"""A shipped definition: the rule answer-is, numeric match, stop at a line's end."""
CHOOSE = "algebra-choice"


def definition(folder: Path, **changes: Any) -> str:
    """A definition like the shipped one but for `changes`."""
    base = yaml.safe_load(shipped("benchmarks")[GENERATE].read_text("utf-8"))
    path = folder / f"{changes['name']}.yaml"
    path.write_text(yaml.safe_dump(base | changes), "utf-8")
    return str(path)


def choice_items(items: list[Item]) -> list[Item]:
    """Each item with four continuations, of which one is right."""
    made = []
    for item in items:
        right = int(item.answer)
        choices = tuple(f" The answer is {n}" for n in (right + 2, right, right + 1, right - 1))
        made.append(Item(item.id, item.prompt, choices[1], choices))
    return made


def run(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    items: dict[str, list[Item]],
    **options: Any,
) -> Evaluation:
    return evaluate(model, tokenizer, items, EvaluationConfig(**options))


def test_a_model_that_adds_without_fault(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    wrong = Item("own-wrong", items[0].prompt, "0")
    evaluation = run(
        model, tokenizer, {GENERATE: [*items, wrong], CHOOSE: choice_items(items)}, batch_size=4
    )
    generated, chosen = evaluation.scores
    assert (generated.benchmark, generated.metric, generated.version) == (
        GENERATE,
        "numeric_match",
        "1",
    )
    n, p = len(items) + 1, len(items) / (len(items) + 1)
    assert generated.value == pytest.approx(p)
    assert generated.stderr == pytest.approx((p * (1 - p) / (n - 1)) ** 0.5)
    assert (chosen.benchmark, chosen.metric, chosen.value) == (CHOOSE, "acc", 1.0)
    first, last = evaluation.samples[0], evaluation.samples[len(items)]
    assert (first.id, first.prompt, first.answer) == ("own-1-1", items[0].prompt, "2")
    assert (first.response, first.prediction, first.correct) == (" The answer is 2", "2", True)
    assert (last.id, last.prediction, last.correct) == ("own-wrong", "2", False)
    assert evaluation.samples[-1].response == choice_items(items)[-1].answer


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_batches_do_not_change_answers(
    family: str, tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    """Random models, whose answers hang on every position and on every token of the prompt."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model(
        family, **sizes, vocab_size=len(tokenizer), max_position_embeddings=128, eos_token_id=0
    )
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # the usual initialisation hardly looks at its input
        parameter.data.mul_(3)
    own = definition(tmp_path, name="own", max_new_tokens=12, stop=[])
    of_all_lengths = [Item(i.id, "so " * n + i.prompt, i.answer) for n, i in enumerate(items)]
    both = {own: of_all_lengths, CHOOSE: choice_items(of_all_lengths)}
    one, many = (run(model, tokenizer, both, batch_size=size).samples for size in (1, 16))
    assert one == many
    assert len({sample.response for sample in one}) > 3


@pytest.mark.usefixtures("only_benchmarks")
def test_early_ends_do_not_change_answers(
    tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    """Prompts of 9 to 95 tokens, whose responses end by either stop, or not at all."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data.mul_(3)
    stops = ["oyu", "gog"]
    ending = definition(tmp_path, name="ending", max_new_tokens=32, stop=stops)
    endless = definition(tmp_path, name="endless", max_new_tokens=32, stop=[])
    of_all_lengths = [
        Item(f"{item.id}-{n}", "so " * n + item.prompt, item.answer)
        for item in items
        for n in range(0, 27, 3)
    ]
    one, few, many = (
        run(model, tokenizer, {ending: of_all_lengths}, batch_size=size).samples
        for size in (1, 5, 64)
    )
    assert one == few == many
    whole = run(model, tokenizer, {endless: of_all_lengths}, batch_size=64).samples
    for sample, all_of_it in zip(one, whole, strict=True):
        expected = all_of_it.response
        for stop in stops:
            expected = expected.partition(stop)[0]
        assert sample.response == expected
    lengths = {len(sample.response) for sample in one}
    assert len(lengths) > 3 and max(lengths) == 32

    # A batch works until the last of its rows has ended by one of the stops, no longer.
    steps: list[int] = []
    model.register_forward_hook(lambda *_: steps.append(1))
    ends: dict[Item, int] = {}
    met: set[str] = set()
    for item, all_of_it in zip(of_all_lengths, whole, strict=True):
        text = all_of_it.response
        found = {text.index(stop) + len(stop): stop for stop in stops if stop in text}
        if found:
            ends[item] = min(found)
            met.add(found[min(found)])
    run(model, tokenizer, {ending: [*ends]}, batch_size=64)
    assert met == set(stops)
    assert len(steps) == max(ends.values()) < 32


def test_generation_is_transformers_own(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    short = run(model, tokenizer, {GENERATE: items}, max_new_tokens=7, batch_size=16)
    frozen = copy.deepcopy(model).eval()
    for item, sample in zip(items, short.samples, strict=True):
        ids = tokenizer(item.prompt, return_tensors="pt").input_ids
        generated = frozen.generate(ids, max_new_tokens=7, do_sample=False, pad_token_id=0)
        assert sample.response == tokenizer.decode(generated[0, ids.shape[1] :])


def test_beam_search_is_transformers_own(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    """A model whose beams often end before others have been looked at."""
    torch.manual_seed(0)
    model.lm_head.weight.data.normal_(std=0.6)
    options = {"max_new_tokens": 12, "num_beams": 4}
    beams = definition(tmp_path, name="beams", stop=[], **options)
    frozen = copy.deepcopy(model).eval()
    responses = []
    for item in items:
        ids = tokenizer(item.prompt, return_tensors="pt").input_ids
        generated = frozen.generate(ids, **options, do_sample=False, pad_token_id=0, eos_token_id=0)
        responses.append(tokenizer.decode(generated[0, ids.shape[1] :]).split("</s>")[0])
    for batch_size in (1, 16):
        samples = run(model, tokenizer, {beams: items}, batch_size=batch_size).samples
        assert [sample.response for sample in samples] == responses
    assert len(set(responses)) > 1


@pytest.mark.usefixtures("only_benchmarks")
def test_a_stop_ends_the_response_and_the_work(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    items: list[Item],
    tmp_path: Path,
) -> None:
    stopping = definition(tmp_path, name="stopping", stop=["ans"], extraction="last-number")
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    handle = model.register_forward_hook(count)
    evaluation = run(model, tokenizer, {stopping: items}, batch_size=16)
    handle.remove()
    assert {sample.response for sample in evaluation.samples} == {" The "}
    assert [sample.prediction for sample in evaluation.samples] == [None] * len(items)
    assert evaluation.scores[0].value == 0.0
    assert calls == len(" The ans")


@pytest.mark.usefixtures("only_benchmarks")
def test_batches_are_of_like_lengths(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    """Over all benchmarks that generate alike, longest first: what does not fit is seen at once."""
    other = definition(tmp_path, name="other")
    of_all_lengths = [Item(f"{i}", "so " * (i * 7 % 23) + "Q: 1+1?", "2") for i in range(23)]
    prompts: list[torch.Tensor] = []

    def note(_: Any, __: Any, options: dict[str, Any]) -> None:
        if options["input_ids"].shape[1] > 1:
            prompts.append(options["input_ids"])

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    both = {GENERATE: of_all_lengths, other: of_all_lengths}
    run(model, tokenizer, both, batch_size=2, max_new_tokens=2)
    handle.remove()
    widths = [ids.shape[1] for ids in prompts]
    assert widths == sorted(widths, reverse=True)
    assert len(widths) == 23
    for ids in prompts:  # each pair is of one length: no padding
        assert (ids != tokenizer.eos_token_id).all()


def test_everything_is_left_as_it_was(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    model.model.layers[1].eval()
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.7, max_new_tokens=3)
    torch.manual_seed(11), np.random.seed(12), random.seed(13)

    def state() -> tuple[Any, ...]:
        return (
            torch.get_rng_state().tolist(),
            repr(np.random.get_state()),
            random.getstate(),
            [module.training for module in model.modules()],
            {name: id(value) for name, value in model.named_parameters()},
            [value.clone().tolist() for value in model.state_dict().values()],
            model.generation_config.to_dict(),
            (tokenizer.pad_token, tokenizer.padding_side, len(tokenizer)),
        )

    def disturb(done: int, total: int) -> None:
        torch.manual_seed(done), np.random.seed(done), random.seed(done)

    before = state()
    both = {GENERATE: items, CHOOSE: choice_items(items)}
    evaluation = evaluate(model, tokenizer, both, EvaluationConfig(), disturb)
    assert [score.value for score in evaluation.scores] == [1.0, 1.0]
    assert state() == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_adapters_take_part(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    adapted = Lora(Lora.Options(r=2, alpha=2)).apply(copy.deepcopy(model), seed=0)
    adapted.train()
    assert run(adapted, tokenizer, {GENERATE: items}).scores[0].value == 1.0
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=2.0)
    assert run(adapted, tokenizer, {GENERATE: items}).scores[0].value < 1.0
    assert adapted.training


def test_progress_counts_requests(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    seen: list[tuple[int, int]] = []
    both = {GENERATE: items, CHOOSE: choice_items(items)}
    evaluate(model, tokenizer, both, EvaluationConfig(), lambda *counts: seen.append(counts))
    total = 5 * len(items)
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_prompts_that_do_not_fit_are_refused(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    with pytest.raises(UserError, match=r"add-sub: item own-2-3 needs 136 tokens .*room for 128"):
        run(model, tokenizer, {GENERATE: items}, max_new_tokens=120)
    assert model.training


SILENT = """
import sys
sys.path.insert(0, {tests!r})
import conftest, torch
from transformers import LlamaConfig, LlamaForCausalLM
from lwft_bench.schema.cell import EvaluationConfig
from lwft_bench.data.examples import Item
from lwft_bench.evaluation.harness import evaluate
tokenizer = conftest.make_tokenizer()
config = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, max_position_embeddings=128,
)
items = {{
    "add-sub": [Item("a", "Q:", "3"), Item("b", "Q: so", "3")],
    "algebra-choice": [Item("c", "Q:", " a", (" a", " b"))],
}}
assert len(evaluate(LlamaForCausalLM(config), tokenizer, items, EvaluationConfig()).samples) == 3
"""


def test_nothing_is_said_written_or_fetched(tmp_path: Path) -> None:
    folder, home = tmp_path / "cwd", tmp_path / "home"
    folder.mkdir(), home.mkdir()
    root = Path(__file__).parents[2]
    proxy = "http://127.0.0.1:9"  # nobody answers: a request would fail or be heard of
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))},
        "HOME": str(home),
        "PYTHONPATH": str(root),
        "http_proxy": proxy,
        "https_proxy": proxy,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    finished = subprocess.run(
        [sys.executable, "-c", SILENT.format(tests=str(Path(__file__).parent))],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert [*folder.rglob("*"), *home.rglob("*")] == []
