"""CTranslate2 in the place of transformers: equal answers, or a refusal before anything trains."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from lwft_bench.adapters.lora import Lora
from lwft_bench.cell.run import run_cell
from lwft_bench.data.examples import Item
from lwft_bench.evaluation import converted_model
from lwft_bench.evaluation.converted import Converted, converted_copy, why_not_converted
from lwft_bench.evaluation.harness import evaluate, require_engine
from lwft_bench.evaluation.not_finite import NotFinite
from lwft_bench.evaluation.stopping import Endings
from lwft_bench.preflight.cells import check_cells
from lwft_bench.results.atomic import write_json_atomic
from lwft_bench.schema.cell import EvaluationConfig
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.method import MethodConfig
from lwft_bench.schema.run import CellRecord
from lwft_bench.schema.shipped import shipped
from lwft_bench.suites.identity import identify
from lwft_bench.suites.loading import Changes, load_suite
from tests.evaluation.test_harness import CHOOSE, GENERATE, choice_items, definition
from tests.training.tiny import FAMILIES, LLAMA

pytest.importorskip("ctranslate2")

TAKEN = ("llama", "llama-tied", "gemma", "qwen2", "gpt2", "opt")
FULL = EvaluationConfig(engine="ctranslate2", batch_size=4)


def random_model(config: dict[str, Any]) -> Any:
    """Large weights: the answers hang on every token."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.1))
    return model


def with_lora(model: Any) -> Any:
    adapted = Lora(Lora.Options(r=2, alpha=2)).apply(model, seed=0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.5)
    return adapted.eval()


def greedy(model: Any, prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
    found = []
    for prompt in prompts:
        tokens = list(prompt)
        for _ in range(num_tokens):
            with torch.no_grad():
                tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
        found.append(tokens[len(prompt) :])
    return found


@pytest.mark.parametrize("adapt", [lambda model: model, with_lora], ids=["plain", "lora"])
@pytest.mark.parametrize("family", TAKEN)
def test_prompts_of_all_lengths_get_the_models_own_answers(
    family: str, adapt: Callable[[Any], Any]
) -> None:
    model = adapt(random_model(FAMILIES[family]))
    before = {name: (one, one.detach().clone()) for name, one in model.named_parameters()}
    prompts = [[7, 3, 9], [4], [11, 2, 5, 8, 30, 31, 2], [6, 6]]
    answers = converted_copy(model).generate(prompts, 8, end=47, endings=None)
    expected = greedy(model, prompts, 8)
    assert answers == [row[: row.index(47) + 1] if 47 in row else row for row in expected]
    assert len({tuple(row) for row in answers}) > 1
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    for name, (parameter, value) in before.items():
        assert after[name] is parameter and torch.equal(parameter, value), name


def test_scores_and_answers_are_those_of_transformers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    """With benchmarks that end at a line's end, at a word, and at the longest length alone."""
    word = definition(tmp_path, name="word", stop=["swer", "Q:"])
    whole = definition(tmp_path, name="whole", stop=[], max_new_tokens=9)
    by = {one: items for one in (GENERATE, word, whole)} | {CHOOSE: choice_items(items)}
    theirs = evaluate(model, tokenizer, by, EvaluationConfig(batch_size=4))
    config = FULL.model_copy(update={"compared_answers": 5})
    found = evaluate(model, tokenizer, by, config)
    assert found.scores == theirs.scores and found.samples == theirs.samples
    assert {one.response for one in found.samples if one.benchmark == "word"} == {" The an"}
    assert theirs.engine is None and found.engine is not None
    assert (found.engine.name, found.engine.num_compared) == ("ctranslate2", 5)
    assert found.engine.num_equal == 5
    assert model.training, "as it was"


def test_answers_that_differ_are_counted(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    items: list[Item],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(Converted):
        def generate(
            self, prompts: Any, num_tokens: int, end: int, endings: Endings | None
        ) -> list[list[int]]:
            found = super().generate(prompts, num_tokens, end, endings)
            return [
                [end] if len(prompt) % 2 else row
                for prompt, row in zip(prompts, found, strict=True)
            ]

    both = {GENERATE: items}
    config = FULL.model_copy(update={"compared_answers": 100})
    monkeypatch.setattr("lwft_bench.evaluation.converted.Converted", Wrong)
    found = evaluate(model, tokenizer, both, config)
    theirs = evaluate(model, tokenizer, both, EvaluationConfig(batch_size=4))
    equal = sum(
        a.response == b.response for a, b in zip(found.samples, theirs.samples, strict=True)
    )
    assert 0 < equal < len(items)
    assert found.engine and found.engine.num_compared == len(items)
    assert found.engine.num_equal == equal


def test_nothing_is_compared_where_none_is_asked_for(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    config = FULL.model_copy(update={"compared_answers": 0})
    found = evaluate(model, tokenizer, {GENERATE: items}, config).engine
    assert found and (found.num_compared, found.num_equal) == (0, 0)
    assert evaluate(model, tokenizer, {CHOOSE: choice_items(items)}, FULL).engine is None


def test_compared_answers_lie_far_apart() -> None:
    assert converted_model.places_far_apart(10, 5) == [0, 2, 4, 6, 8]
    assert converted_model.places_far_apart(3, 5) == [0, 1, 2]
    assert converted_model.places_far_apart(3, 0) == converted_model.places_far_apart(0, 4) == []


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            LLAMA | {"num_key_value_heads": 2, "head_dim": 16},
            "computes something else than this model: logits differ by up to",
        ),
        (FAMILIES["mistral"], "the model has sliding windows"),
        (FAMILIES["gpt_neox"], "cannot take the model"),
        (LLAMA | {"model_type": "olmo2"}, "No conversion is registered"),
        (
            LLAMA | {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "a longer text changes all rotary angles",
        ),
    ],
    ids=["head_dim", "window", "older form", "unknown", "dynamic"],
)
def test_a_model_that_it_cannot_take_is_refused(
    config: dict[str, Any], why: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = random_model(config).train()
    with pytest.raises(UserError, match=why) as raised:
        require_engine(model, tokenizer, FULL, is_new=False)
    assert raised.value.hint == "Set `evaluation.engine: transformers`."
    require_engine(model, tokenizer, EvaluationConfig(), is_new=False)


def test_what_needs_no_weights_is_told_without_them() -> None:
    model, cpu = random_model(LLAMA), torch.device("cpu")
    assert why_not_converted(model, torch.float32, cpu) is None
    told = why_not_converted(model, torch.bfloat16, cpu)
    assert told == "it does not compute in bfloat16 on cpu"
    told = why_not_converted(model, torch.float32, torch.device("mps"))
    assert told == "it computes on a CPU or a CUDA device, and the cell's is mps"
    model.lm_head.weight = torch.nn.Parameter(
        torch.zeros(48, 16, dtype=torch.uint8), requires_grad=False
    )
    assert why_not_converted(model, torch.float32, cpu) == "weights are quantised: lm_head.weight"


def smoke_cell(method: str = "fft", **settings: str) -> Any:
    changes = tuple(f"{key.replace('__', '.')}={value}" for key, value in settings.items())
    (cell,) = load_suite("smoke", Changes(settings=changes, methods=(method,))).cells
    return cell


def test_cells_are_refused_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"evaluation__engine": "ctranslate2"}
    assert check_cells([smoke_cell(**asked)]).problems == {}
    (told,) = check_cells([smoke_cell(**asked, training__precision="bf16")]).problems
    assert told.endswith("evaluation.engine: ctranslate2: it does not compute in bfloat16 on cpu")

    card = MethodConfig(**yaml.safe_load(shipped("methods")["qlora"].read_text("utf-8")))
    cell = smoke_cell("lora", **asked).model_copy(update={"method": card})
    (told,) = check_cells([cell]).problems
    assert told.endswith("adapter 'qlora' quantises weights, which it does not take")

    def missing(name: str) -> Any:
        raise ImportError("not here")

    monkeypatch.setattr(importlib, "import_module", missing)
    findings = check_cells([smoke_cell(**asked)])
    assert "needs the package ctranslate2" in next(iter(findings.problems))
    with pytest.raises(UserError) as raised:
        findings.raise_problems()
    assert "lwft-bench[ctranslate2]" in str(raised.value.hint)


def test_only_another_engine_changes_an_identity() -> None:
    plain = identify(smoke_cell())
    assert identify(smoke_cell(evaluation__compared_answers="7")) == plain
    other = identify(smoke_cell(evaluation__engine="ctranslate2"))
    changed = {key for key, value in other.components.items() if plain.components[key] != value}
    assert changed == {"evaluation"}


def test_a_model_without_numbers_is_told_as_such(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]
) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight[3, 3] = torch.nan
    with pytest.raises(NotFinite, match="a logit is not finite"):
        evaluate(broken, tokenizer, {GENERATE: items}, FULL)
    rows = [SimpleNamespace(scores=[score], sequences_ids=[[1]]) for score in (-0.5, float("nan"))]
    generator = SimpleNamespace(generate_batch=lambda prompts, **options: rows)
    with pytest.raises(NotFinite, match="a logit is NaN"):
        Converted(generator, "0").generate([[1], [2]], 1, 0, None)


def test_a_cell_tells_what_answered(tmp_path: Path) -> None:
    cell = smoke_cell(evaluation__engine="ctranslate2", training__steps="2")
    write_json_atomic(
        tmp_path / "identity.json",
        CellRecord(digest="0", components={}, threads=1).model_dump(mode="json"),
    )
    run_cell(cell, tmp_path, lambda event: None, lambda: False)
    result = json.loads((tmp_path / "result.json").read_text())
    version = pytest.importorskip("ctranslate2").__version__
    engine = result["engine"]
    assert engine["name"] == "ctranslate2" and engine["version"] == version
    assert engine["num_compared"] == engine["num_equal"] > 0
    assert result["confounds"]["evaluation.engine"] == f"ctranslate2 {version}"


def test_beam_search_is_transformers_and_not_counted(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item], tmp_path: Path
) -> None:
    beams = definition(tmp_path, name="beams", stop=[], num_beams=2, max_new_tokens=16)
    alone = evaluate(model, tokenizer, {beams: items[:2]}, FULL)
    assert alone.engine is None and alone.rows_together == "any"
    both = evaluate(model, tokenizer, {beams: items[:2], GENERATE: items}, FULL)
    assert both.engine and both.engine.num_compared == both.engine.num_equal == len(items)


def test_a_model_that_has_learnt_nothing_is_tried_with_other_weights(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Its logits would hardly show that the angles are others."""
    angles = {
        "rope_type": "llama3",
        "rope_theta": 1e4,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    torch.manual_seed(0)
    settings: dict[str, Any] = LLAMA | {"rope_parameters": angles}
    config = AutoConfig.for_model(**settings)
    model = AutoModelForCausalLM.from_config(config)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(UserError, match="computes something else"):
        require_engine(model, tokenizer, FULL, is_new=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_folder_that_cannot_be_written_is_named(
    model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    told = pytest.raises(UserError, match="cannot be written to .*nowhere: No such file")
    with told as raised:
        converted_copy(model.eval())
    assert raised.value.hint and raised.value.hint.startswith("Set TMPDIR")
