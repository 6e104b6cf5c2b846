"""The same model, batches and selections for every trainer, written down before any starts.

Questions of MAWPS's training set and GSM8K's by turns, from a folder that LWFT_BENCH_DATA names: as
many tokens as they have in the model's tokenizer, so that batches are ragged as real ones are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.peers.sizes import EPS, LORA, LORA_TARGETS, LR, NUM_ACTIVE, PERIOD, Size
from lwft_bench import Changes, UserError, load_suite
from lwft_bench.cell.loading import load
from lwft_bench.data.batching import IGNORED, DataOrder
from lwft_bench.data.examples import Example
from lwft_bench.data.sources import load_written
from lwft_bench.models.loading import load_model, load_tokenizer
from lwft_bench.schema.cell import Cell, ModelConfig, TaskConfig

FILES = {"mawps": "mawps/trainset.json", "gsm8k": "gsm8k/train.jsonl"}
END = "<end>"
METHODS = ("fft", "lora", "lisa", "grass", "badam")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trainer reads. rows: token ids and prompt tokens, in the order in which they are drawn.

    selections: decoder layers that LISA trains, of each period.
    """

    folder: str
    size: str
    batch_size: int
    length: int
    num_layers: int
    num_heads: int
    hidden: int
    rows: list[tuple[list[int], int]]
    selections: list[list[int]]
    tokens: list[int]
    """Of each step's sequences, without padding."""
    padding: float
    """Share of the tokens of batches padded to their longest sequence."""
    median_length: int
    longest: int

    @property
    def suite(self) -> Path:
        return Path(self.folder, "suite.yaml")

    @property
    def model(self) -> Path:
        return Path(self.folder, "model")

    def labels(self, row: int) -> list[int]:
        ids, prompt = self.rows[row]
        return [IGNORED] * prompt + ids[prompt:]

    def write(self) -> None:
        Path(self.folder, "setting.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Setting:
        return cls(**json.loads((folder / "setting.json").read_text(encoding="utf-8")))


def make_setting(size: Size, folder: Path, num_steps: int) -> Setting:
    """Writes model, data and suite into the folder.

    Raises:
        UserError: LWFT_BENCH_DATA names no folder with both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num_rows = (num_steps + 2) * size.batch_size
    examples = _examples(num_rows)
    _write_model(size, folder / "model", examples)
    lines = [json.dumps({"prompt": e.prompt, "target": e.target}) for e in examples]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_suite(size, folder, num_rows)
    loaded = load(cell_of(folder / "suite.yaml", "lisa"), is_scored=False)
    order = DataOrder(loaded.train, batch_size=size.batch_size, seed=loaded.streams.seed("data"))
    steps = [order.next_batch()[0] for _ in range(num_steps)]
    rows = [
        (batch.input_ids[row, :length].tolist(), int((batch.labels[row, :length] == IGNORED).sum()))
        for batch in steps
        for row, length in enumerate(batch.lengths)
    ]
    config = loaded.model.config
    draws = loaded.streams.generator("selection")
    selections = [
        sorted(draws.choice(config.num_hidden_layers, NUM_ACTIVE, replace=False).tolist())
        for _ in range(num_steps)
    ]
    lengths = sorted(len(ids) for ids, _ in rows)
    padded = sum(len(batch.lengths) * max(batch.lengths) for batch in steps)
    setting = Setting(
        folder=str(folder),
        size=size.name,
        batch_size=size.batch_size,
        length=size.length,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        hidden=config.hidden_size,
        rows=rows,
        selections=selections,
        tokens=[batch.num_tokens for batch in steps],
        padding=1 - sum(lengths) / padded,
        median_length=lengths[len(lengths) // 2],
        longest=lengths[-1],
    )
    setting.write()
    return setting


def cell_of(suite: Path, method: str, *settings: str) -> Cell:
    """One method of the suite as this trainer would run it."""
    (cell,) = load_suite(str(suite), Changes(methods=(method,), settings=settings)).cells
    return cell


def _examples(number: int) -> list[Example]:
    """MAWPS's and GSM8K's by turns."""
    each = [iter(_of_form(form, (number + 1) // 2)) for form in FILES]
    return list(chain.from_iterable(zip(*each, strict=True)))[:number]


def _of_form(form: str, number: int) -> list[Example]:
    root = os.environ.get("LWFT_BENCH_DATA")
    found = sorted(Path(root).rglob(FILES[form])) if root else []
    if not found:
        raise UserError(
            f"no {FILES[form]} below the folder that LWFT_BENCH_DATA names ({root or 'it is not set'})",
            "LLM-Adapters has the one (dataset/), the repository of grade-school-math the other.",
        )
    task = TaskConfig(
        name=form,
        data="instructions",
        data_options={"train": str(found[0]), "form": form},
        train_examples=number,
        validation_examples=0,
        benchmarks=(),
    )
    return load_written(task, load_tokenizer(_embedded())).train


def _embedded() -> ModelConfig:
    return ModelConfig(name="embedded", path="embedded")


def _write_model(size: Size, folder: Path, examples: list[Example]) -> None:
    import torch

    if size.hidden is None:
        config = _embedded()
        tokenizer: Any = load_tokenizer(config)
    else:
        tokenizer = _trained_tokenizer(examples, size.vocabulary)
        config = ModelConfig(name=size.name, config=size.shape, tokenizer=str(folder))
    model = load_model(config, dtype=torch.float32, attention="sdpa", seed=0)
    model.config.max_position_embeddings = 1024  # rotary: nothing is learnt of them
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _trained_tokenizer(examples: list[Example], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level, trained on the data themselves: lengths come out as with published ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<pad>", END], show_progress=False
    )
    tokenizer.train_from_iterator(_texts(examples), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token="<pad>")


def _texts(examples: list[Example]) -> Iterator[str]:
    return (example.prompt + example.target for example in examples)


def _write_suite(size: Size, folder: Path, num_rows: int) -> None:
    suite = {
        "name": "peers",
        "models": [{"name": size.name, "path": str(folder / "model")}],
        "methods": list(METHODS),
        "tasks": [
            {
                "name": "word-problems",
                "data": "jsonl",
                "data_options": {"train": str(folder / "train.jsonl")},
                "train_examples": num_rows,
                "validation_examples": 0,
                "benchmarks": ["add-sub"],
            }
        ],
        "seeds": [0],
        "baseline": "fft",
        "training": {
            "steps": 10_000,
            "batch_size": size.batch_size,
            "lr": LR,
            "schedule": "constant",
            "max_length": size.length,
            "checkpoint_every": 10_000,
            "attention": "sdpa",
            "threads": 1,
        },
        "overrides": [
            {"method": list(METHODS), "set": {"optimizer.eps": EPS}},
            {"method": ["lisa", "grass", "badam"], "set": {"strategy.period": PERIOD}},
            {"method": ["lisa", "grass"], "set": {"strategy.num_active": NUM_ACTIVE}},
            {"method": "grass", "set": {"strategy.probing_steps": 2, "strategy.refresh": PERIOD}},
            {"method": "badam", "set": {"strategy.order": "descending"}},
            {
                "method": "lora",
                "set": {f"adapter.{key}": value for key, value in LORA.items()}
                | {"adapter.targets": list(LORA_TARGETS)},
            },
        ],
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
