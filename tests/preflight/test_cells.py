"""What a run would stumble over is said before its first cell starts, all of it at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lwft_bench.preflight.cells import check_cells
from lwft_bench.preflight.weights import num_layers_of
from lwft_bench.schema.documents import shown_path
from lwft_bench.schema.errors import UserError
from lwft_bench.schema.findings import Findings
from lwft_bench.suites.loading import load_suite

SIZES = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
LLAMA = {"model_type": "llama", "intermediate_size": 32, "max_position_embeddings": 128, **SIZES}
GPT2 = {
    "model_type": "gpt2",
    "n_positions": 60,
    "vocab_size": 300,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
}
DEFINITION = {
    "name": "sums",
    "version": "1",
    "title": "sums",
    "description": "own",
    "source": {"name": "jsonl", "path": "items.jsonl"},
    "licence": "own",
    "kind": "generate",
    "metric": "numeric_match",
    "extraction": "answer-is",
    "max_new_tokens": 20,
    "num_items": 2,
    "contamination": "none",
}
ITEMS = [{"prompt": "1 + 1 =", "answer": "2"}, {"prompt": "2 + 2 =", "answer": "4"}]


def save_tokenizer(folder: Path, *extra: str, end: str | None = "<end>") -> None:
    """One token a byte, the special token `<end>` with id 256, and further tokens behind it."""
    vocabulary = {
        piece: index for index, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    for piece in ("<end>", *extra):
        vocabulary[piece] = len(vocabulary)
    bytes_ = Tokenizer(models.BPE(vocabulary, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    bytes_.add_special_tokens(["<end>"])
    PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token=end, pad_token="<end>"
    ).save_pretrained(folder)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tokenizer(tmp_path / "tokenizer")
    rows = [{"prompt": f"{n} + 1 = ", "target": f"The answer is {n + 1}"} for n in range(20)]
    write_lines(tmp_path / "train.jsonl", rows)
    write_lines(tmp_path / "items.jsonl", ITEMS)
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump(DEFINITION), "utf-8")
    return tmp_path


def found(
    folder: Path,
    *,
    model: dict[str, Any] | None = None,
    methods: list[Any] | None = None,
    task: dict[str, Any] | None = None,
    **training: Any,
) -> Findings:
    chosen = {"name": "m", "tokenizer": str(folder / "tokenizer"), **(model or {"config": LLAMA})}
    suite = {
        "name": "own",
        "models": [chosen],
        "methods": methods or ["base", "fft"],
        "tasks": [
            {
                "name": "t",
                "data": "jsonl",
                "data_options": {"train": "train.jsonl"},
                "train_examples": 20,
                "validation_examples": 0,
                "benchmarks": ["./sums.yaml"],
            }
            | (task or {})
        ],
        "seeds": [0],
        "training": {"steps": 2, **training},
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False), "utf-8")
    return check_cells(load_suite(str(folder / "suite.yaml")).cells)


def only_problem(findings: Findings) -> str:
    ((text, hint),) = findings.problems.items()
    return f"{text} | {hint}"


def test_problems_have_the_line_of_the_suite(folder: Path) -> None:
    """Of the task that is named, else of the method, else of the model; names alike are told apart."""
    found(folder, methods=["base", "fft"])
    path = folder / "suite.yaml"
    suite = load_suite(str(path))
    lines = path.read_text().splitlines()
    line = {
        "tasks[0]": lines.index("tasks:") + 2,
        "methods[1]": lines.index("- fft") + 1,
        "models[0]": lines.index("models:") + 2,
    }
    for text, key in {
        "model m, task t: is wrong": "tasks[0]",
        "task t asks for more": "tasks[0]",
        "model m, method fft: is wrong": "methods[1]",
        "model m: is wrong": "models[0]",
        "model m is wrong": "models[0]",
        "model m, task t2: is wrong": "models[0]",
    }.items():
        assert suite.placed(text) == f"{shown_path(path)}:{line[key]}: {key}: {text}"
    for text in ("model m2: is wrong", "plugin.py: is wrong", "models are", ""):
        assert suite.placed(text) == text
    findings = Findings({"model m: is wrong": "mend it"}, {"model m: is odd": None})
    placed = findings.placed(suite.placed)
    (problem, hint), (warning,) = *placed.problems.items(), placed.warnings
    assert problem.endswith(f":{line['models[0]']}: models[0]: model m: is wrong")
    assert (hint, warning.count("models[0]")) == ("mend it", 1)


def test_a_sound_suite_has_no_findings(folder: Path) -> None:
    assert found(folder, methods=["base", "fft", "lora", "lisa"]) == Findings()


def test_examples_without_a_target_left_are_warned_of_and_beyond_a_share_refused(
    folder: Path,
) -> None:
    rows = [{"prompt": "x" * (50 if n < 3 else 9), "target": "y" * 60} for n in range(20)]
    write_lines(folder / "train.jsonl", rows)
    warned = found(folder, max_length=40)
    assert (list(warned.problems), list(warned.warnings)) == (
        [],
        [
            "model m, task t: 3 of 20 training examples are left out: training.max_length = 40 "
            "leaves nothing of their target"
        ],
    )
    refused = only_problem(found(folder, max_length=40, task={"max_left_out": 0.1}))
    assert "3 of 20 training examples are left out" in refused
    assert "task.max_left_out allows 10% | raise training.max_length" in refused
    assert found(folder, max_length=40, loss_on="all") == Findings()


def test_empty_targets_are_counted_the_same_way(folder: Path) -> None:
    rows = [{"prompt": "x", "target": "" if n % 4 == 0 else "y"} for n in range(20)]
    write_lines(folder / "train.jsonl", rows)
    text = "5 of 20 rows of the data files have an empty target and are left out"
    assert text in only_problem(found(folder))
    assert text in next(iter(found(folder, task={"max_left_out": 0.25}).warnings))


def test_one_item_beyond_the_context_is_named_with_what_helps(folder: Path) -> None:
    write_lines(folder / "items.jsonl", [ITEMS[0], {"prompt": "z" * 120, "answer": "2"}])
    problem = only_problem(found(folder))
    assert "benchmark sums: item sums-2 needs 140 tokens (120 of its prompt, 20 for" in problem
    assert "room for 128; of 2 items 1 do not fit | set evaluation.max_new_tokens to 8" in problem
    write_lines(folder / "items.jsonl", [ITEMS[0], {"prompt": "z" * 128, "answer": "2"}])
    assert "| leave such items out" in only_problem(found(folder))


def test_positions_beyond_a_learnt_table_are_refused_and_padding_counts(folder: Path) -> None:
    write_lines(folder / "train.jsonl", [{"prompt": "x" * 40, "target": "y" * 30}] * 20)
    assert found(folder, model={"config": GPT2}, max_length=56) == Findings()
    for length in (58, 60, 70):
        problem = only_problem(found(folder, model={"config": GPT2}, max_length=length))
        assert (
            f"has {length} tokens, padded to {-(-length // 8) * 8}, and the model has a" in problem
        )
        assert "60 positions | set training.max_length to 56 or less" in problem


def test_rows_beyond_the_trained_length_are_warned_of(folder: Path) -> None:
    write_lines(folder / "train.jsonl", [{"prompt": "x" * 100, "target": "y" * 50}] * 20)
    (warning,) = found(folder).warnings
    assert "has 151 tokens, and the model's config speaks of 128" in warning


def test_a_tokenizer_without_an_end_is_refused(folder: Path) -> None:
    save_tokenizer(folder / "tokenizer", end=None)
    assert "has no end-of-sequence token" in only_problem(found(folder))


def test_a_tokenizer_file_alone_is_told_what_the_config_says(folder: Path, weights: Path) -> None:
    for file in (folder / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            shutil.copy(file, weights)
    config = json.loads((weights / "config.json").read_text())
    for ends in (256, [256, 3]):
        (weights / "config.json").write_text(json.dumps(config | {"eos_token_id": ends}))
        problem = only_problem(found(folder, model={"path": str(weights), "tokenizer": None}))
        assert "the tokenizer has no end-of-sequence token" in problem
        assert (
            "tokenizer_config.json: \"eos_token\": ... (the model's config says '<end>'" in problem
        )


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    for text in ("{", "[]", json.dumps({"model": {"type": "BPE", "vocab": 3, "merges": []}})):
        (folder / "tokenizer/tokenizer.json").write_text(text, "utf-8")
        assert only_problem(found(folder)).startswith("model m: ")


def test_ends_of_texts_that_stand_there_twice_are_warned_of(folder: Path) -> None:
    file = folder / "tokenizer" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<end> $A", special_tokens=[("<end>", tokenizer.token_to_id("<end>"))]
    )
    tokenizer.save(str(file))
    settings = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())
    settings["bos_token"] = "<end>"
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(settings))
    assert found(folder) == Findings()
    rows = [{"prompt": "<end>1 + 1 = ", "target": "2<end>"}, {"prompt": "2", "target": "3<end>"}]
    write_lines(folder / "train.jsonl", rows * 10)
    write_lines(folder / "items.jsonl", [ITEMS[0], ITEMS[1] | {"prompt": "<end>2 + 2 ="}])
    findings = found(folder)
    assert findings.problems == {}
    begins, ends, items = findings.warnings
    assert "10 of 20 training examples begin with <end> twice" in begins
    assert "20 of 20 training examples end with <end> twice" in ends
    assert "1 of 2 prompts of benchmark sums begin with <end> twice" in items


def test_an_id_beyond_the_embeddings_is_told_with_its_token(folder: Path) -> None:
    path = folder / "tokenizer/tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 900, "content": "<odd>"})
    content["model"]["vocab"]["<odd>"] = 900
    path.write_text(json.dumps(content), "utf-8")
    assert found(folder) == Findings()
    write_lines(folder / "items.jsonl", [ITEMS[0], {"prompt": "an <odd> one", "answer": "2"}])
    problem = only_problem(found(folder))
    assert "benchmark sums: item sums-2 has the token '<odd>' with id 900 (at the end of" in problem
    assert "'an <odd>'), and the model has 300 embeddings | name the tokenizer" in problem
    write_lines(folder / "train.jsonl", [{"prompt": "<odd>", "target": "y"}] * 20)
    assert len(found(folder).problems) == 2


def test_targets_that_the_model_lacks(folder: Path) -> None:
    card = {
        "name": "mine",
        "title": "mine",
        "citation": "own",
        "adapter": {"name": "lora", "r": 2, "alpha": 2, "targets": ["query"]},
        "always_train": [],
    }
    problem = only_problem(found(folder, methods=[card]))
    assert problem.startswith(
        "model m, method mine: adapter.targets: no linear module is named query"
    )


def test_an_attention_that_the_model_lacks(folder: Path) -> None:
    bloom = {"model_type": "bloom", **SIZES, "n_layer": 2, "n_head": 2}
    del bloom["num_attention_heads"], bloom["num_hidden_layers"]
    assert found(folder, model={"config": bloom}) == Findings()
    problem = only_problem(found(folder, model={"config": bloom}, attention="sdpa"))
    assert problem.startswith("model m: ")
    assert "| Set `training.attention: auto`" in problem


@pytest.mark.parametrize("choices", [["2", ""], [2, ""]])
def test_an_empty_choice_is_told_with_its_row(folder: Path, choices: list[Any]) -> None:
    definition = {key: value for key, value in DEFINITION.items() if key != "extraction"}
    del definition["max_new_tokens"]
    definition |= {
        "kind": "multiple_choice",
        "metric": "acc",
        "source": {"name": "jsonl", "path": "items.jsonl", "choices_field": "choices"},
    }
    (folder / "sums.yaml").write_text(yaml.safe_dump(definition), "utf-8")
    row = {"prompt": "1 + 1 =", "answer": 2, "choices": [1, 2]}
    write_lines(folder / "items.jsonl", [row, row])
    assert found(folder) == Findings()
    write_lines(folder / "items.jsonl", [row, row | {"choices": choices}])
    problem = only_problem(found(folder))
    assert "items.jsonl:2: choices: expected choices that are not empty, found [" in problem


def test_validation_examples_that_are_trained_on_are_warned_of(folder: Path) -> None:
    rows = [{"prompt": f"{n} + 1 = ", "target": f"The answer is {n + 1}"} for n in (0, 19, 20)]
    write_lines(folder / "valid.jsonl", rows)
    files = {"train": "train.jsonl", "validation": "valid.jsonl"}
    (warning,) = found(folder, task={"data_options": files, "validation_examples": 3}).warnings
    assert "2 of 3 validation examples are training examples too" in warning


def test_a_task_without_a_benchmark_is_refused_before_it_trains(folder: Path) -> None:
    assert "task t names no benchmark" in only_problem(found(folder, task={"benchmarks": []}))


def test_answers_that_are_not_told_apart_from_nothing_are_warned_of(folder: Path) -> None:
    answers = ("1.6e-19", 0, "-0.001", 0.01)
    write_lines(folder / "items.jsonl", [{"prompt": "Q", "answer": answer} for answer in answers])
    (folder / "sums.yaml").write_text(yaml.safe_dump(DEFINITION | {"num_items": 4}), "utf-8")
    (warning,) = found(folder).warnings
    assert "2 of 4 answers of benchmark sums, such as 1.6e-19, are not told apart from 0" in warning


def test_answers_longer_than_a_response_are_warned_of(folder: Path) -> None:
    whole = {"metric": "exact_match", "extraction": "whole-response", "max_new_tokens": 3}
    (folder / "sums.yaml").write_text(yaml.safe_dump(DEFINITION | whole), "utf-8")
    write_lines(
        folder / "items.jsonl", [{"prompt": "Q", "answer": text} for text in ("two", "four")]
    )
    (warning,) = found(folder).warnings
    assert "1 of 2 answers of benchmark sums have more tokens (up to 4)" in warning
    assert "max_new_tokens: 3" in warning


@pytest.fixture
def weights(folder: Path) -> Path:
    """A whole model in two files."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in LLAMA.items() if k != "model_type"}))
    model.save_pretrained(folder / "model", max_shard_size="20KB")
    assert len(list((folder / "model").glob("*.safetensors"))) > 1
    return folder / "model"


def test_weights_that_are_not_whole_are_refused_from_their_headers(
    folder: Path, weights: Path
) -> None:
    model = {"path": str(weights)}
    assert found(folder, model=model) == Findings()
    first, *_, last = sorted(weights.glob("*.safetensors"))
    whole = last.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    for content in (whole[:-1], whole + b"\0", whole[:20], b"", pointer):
        last.write_bytes(content)
        problem = only_problem(found(folder, model=model))
        assert problem.startswith(f"model m: {last} is cut or damaged")
        assert "git lfs pull" in problem
    last.unlink()
    assert f"in {last.name}, which is not in the folder" in only_problem(found(folder, model=model))
    shutil.copy(first, last)
    assert f"in {last.name}, which has no such tensor" in only_problem(found(folder, model=model))


def test_layers_that_the_config_leaves_out_are_warned_of(folder: Path, weights: Path) -> None:
    """Such a model is another one, and transformers loads it without a word."""
    assert found(folder, model={"path": str(weights)}) == Findings()
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    (warning,) = found(folder, model={"path": str(weights)}).warnings
    assert (
        "its weight files have 2 layers, and its config asks for 1: the rest is not loaded"
        in warning
    )


@pytest.mark.parametrize(
    ("names", "number"),
    [
        (["model.layers.0.x", "model.layers.11.mlp.experts.40.up"], 12),
        (["transformer.h.3.attn.bias", "transformer.wte.weight"], 4),
        (["h.3.attn.bias"], 4),
        (["vision_tower.encoder.layers.26.x", "language_model.model.layers.1.x"], 2),
        (["lm_head.weight"], 0),
    ],
)
def test_layers_are_counted_by_names(names: list[str], number: int) -> None:
    assert num_layers_of(names) == number


def test_a_planted_layer_that_is_not_there(folder: Path, weights: Path) -> None:
    problem = only_problem(found(folder, model={"path": str(weights), "reinitialise": [1, 2]}))
    assert problem.startswith("model m: reinitialise names layer 2; the model has layers 0 to 1")


def test_all_problems_are_told_at_once(folder: Path) -> None:
    write_lines(folder / "items.jsonl", [ITEMS[0], {"prompt": "z" * 128, "answer": "2"}])
    rows = [{"prompt": "x" * (100 if n % 2 else 9), "target": "y"} for n in range(20)]
    write_lines(folder / "train.jsonl", rows)
    findings = found(folder, max_length=40)
    assert len(findings.problems) == 2
    with pytest.raises(UserError) as raised:
        findings.raise_problems()
    assert "examples are left out" in raised.value.message
    assert "item sums-2 needs 148 tokens" in raised.value.message


def test_adapters_that_pass_over_the_experts_are_told(folder: Path) -> None:
    mixtral = LLAMA | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    warnings = list(found(folder, model={"config": mixtral}, methods=["fft", "lora"]).warnings)
    (told,) = [text for text in warnings if "reaches" in text]
    assert told.startswith("model m, method lora: the adapter reaches ")
    assert "`adapter.experts: true`" in told
    assert not any("reaches" in text for text in found(folder, methods=["lora"]).warnings)
