"""A chat template writes the same token ids where a model is trained and where it is judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lwft_bench.cell.loading import load
from lwft_bench.cell.run import run_cell
from lwft_bench.data.batching import tokenise
from lwft_bench.data.benchmarks import load_benchmark
from lwft_bench.data.chat_template import ChatTemplate
from lwft_bench.data.examples import Example, Item
from lwft_bench.evaluation.harness import evaluate
from lwft_bench.models.sources import EMBEDDED
from lwft_bench.planning.batches import planned_batch
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.schema.cell import EvaluationConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.result import CellResult
from lwft_bench.schema.run import CellRecord
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.loading import load_suite

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }} .\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
PROMPTS = ["Q: 1+1?\nA:", "Q: so so 2+2?\nA:", "1"]


def random_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=128,
        )
    )


@pytest.mark.usefixtures("only_benchmarks")
@pytest.mark.parametrize("begins", ["template", "tokenizer", "both", "neither"])
def test_prompts_have_the_same_token_ids(tokenizer: PreTrainedTokenizerFast, begins: str) -> None:
    tokenizer.chat_template = TEMPLATE
    tokenizer.bos_token = "N"
    if begins in ("tokenizer", "neither"):
        tokenizer.chat_template = TEMPLATE.replace("{{ bos_token }}", "")
    if begins in ("tokenizer", "both"):
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="N $A", special_tokens=[("N", tokenizer.bos_token_id)]
        )
    examples = [Example(prompt, " The answer is 2") for prompt in PROMPTS]
    template = ChatTemplate(tokenizer)
    trained = tokenise([template.example(one) for one in examples], tokenizer, 100, "target")
    model = random_model(tokenizer)
    seen: list[list[int]] = []

    def note(_: Any, __: Any, options: dict[str, Any]) -> None:
        ids = options["input_ids"]
        if ids.shape[1] > 1:
            seen.append(ids[0].tolist())

    model.register_forward_pre_hook(note, with_kwargs=True)
    items = [Item(str(n), prompt, "2") for n, prompt in enumerate(PROMPTS)]
    config = EvaluationConfig(batch_size=1, max_new_tokens=2)
    template = ChatTemplate(tokenizer)
    evaluation = evaluate(model, tokenizer, {"add-sub": items}, config, template=template)
    prompts = [
        ids[:length]
        for ids, length in zip(trained.token_ids, trained.num_prompt_tokens, strict=True)
    ]
    assert sorted(seen) == sorted(prompts)
    assert all(ids.count(tokenizer.bos_token_id) == (begins != "neither") for ids in prompts)
    assert [score.version for score in evaluation.scores] == ["1 chat"]
    assert evaluation.samples[0].prompt == template.example(examples[0]).prompt


def test_a_reply_ends_with_its_turn(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    """The trained model writes "The answer is 2"; a template that ends turns by "is" cuts that."""
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}is{% endif %}"
        "{% endfor %}"
    )
    config = EvaluationConfig(batch_size=8)
    template = ChatTemplate(tokenizer)
    evaluation = evaluate(model, tokenizer, {"add-sub": items}, config, template=template)
    assert {sample.response for sample in evaluation.samples} == {" The answer "}


SUITE = """
name: chat
models: [{{name: small, path: {model}}}]
methods: [fft]
tasks:
  - name: arith
    data: generated-arithmetic
    train_examples: 20
    validation_examples: 4
    benchmarks: [add-sub]
    items_per_benchmark: 4
    chat_template: {chat}
seeds: [0]
training: {{steps: 1, max_length: 128}}
"""


def suite(folder: Path, *, template: str | None, chat: bool) -> Path:
    shutil.copytree(EMBEDDED, folder / "model", dirs_exist_ok=True)
    if template is not None:
        (folder / "model" / "chat_template.jinja").write_text(template, "utf-8")
    path = folder / "chat.yaml"
    path.write_text(SUITE.format(model=folder / "model", chat=str(chat).lower()), "utf-8")
    return path


def test_a_model_without_a_template_is_refused_before_anything_runs(tmp_path: Path) -> None:
    asking = load_suite(str(suite(tmp_path, template=None, chat=True)))
    with pytest.raises(UserError, match="task arith .* tokenizer of model small has none"):
        asking.require_runnable()
    load_suite(str(suite(tmp_path, template=None, chat=False))).require_runnable()
    load_suite(str(suite(tmp_path, template=TEMPLATE, chat=True))).require_runnable()


def test_all_models_that_cannot_run_are_told_at_once(tmp_path: Path) -> None:
    path = suite(tmp_path, template=None, chat=True)
    configs = ", ".join(f"{{name: {name}, config: {{model_type: llama}}}}" for name in ("a", "b"))
    path.write_text(path.read_text("utf-8").replace("models: [", f"models: [{configs}, "), "utf-8")
    with pytest.raises(UserError) as raised:
        load_suite(str(path)).require_runnable()
    told = raised.value.message
    assert "models[0]: model a is a config" in told and "models[1]: model b is a config" in told
    assert "tokenizer of model small has none" in told


def test_cells_and_plans_use_the_template(tmp_path: Path) -> None:
    (plain,) = load_suite(str(suite(tmp_path, template=TEMPLATE, chat=False))).cells
    in_chat = load_suite(str(suite(tmp_path, template=TEMPLATE, chat=True)))
    (cell,) = in_chat.cells
    prepared = load(cell)
    for examples in (prepared.train, prepared.validation):
        text = prepared.tokenizer.decode(examples.token_ids[0])
        assert "user: " in text and "assistant:\n" in text
    assert planned_batch(cell).tokens > planned_batch(plain).tokens
    assert in_chat.identity(cell).digest != in_chat.identity(plain).digest


def test_a_cell_is_judged_in_chat(tmp_path: Path) -> None:
    (cell,) = load_suite(str(suite(tmp_path, template=TEMPLATE, chat=True))).cells
    write_json_atomic(
        tmp_path / "identity.json",
        CellRecord(digest="0", components={}, threads=1).model_dump(mode="json"),
    )
    run_cell(cell, tmp_path, lambda event: None, lambda: False)
    result = CellResult.model_validate_json((tmp_path / "result.json").read_text("utf-8"))
    assert [score.version for score in result.scores] == ["1 chat"]
    first = json.loads((tmp_path / "samples.jsonl").read_text("utf-8").splitlines()[0])
    assert first["prompt"].startswith("user: ") and first["prompt"].endswith("assistant:\n")


def test_shipped_benchmarks_say_that_they_are_in_chat() -> None:
    """No score under a template has the version of one without."""
    for name in shipped("benchmarks"):
        benchmark = load_benchmark(name)
        assert benchmark.in_chat("").version == f"{benchmark.version} chat"
        assert benchmark.in_chat("END").stop == (
            (*benchmark.stop, "END") if benchmark.kind == "generate" else ()
        )
