"""Torn input: files of every kind that is read, changed at random, and what is said of them.

Run as a program it prints a table: `python mutations.py COUNT [KIND...]` tries so many of each kind.
Every input is a function of its kind and number, and is tried in a process of its own.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import random
import re
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import yaml
from strict import is_sound

SECONDS = 20
"""An input that takes longer hangs."""

ROWS = [{"instruction": f"Name {n}.", "input": "", "output": f"It is {n}."} for n in range(6)]
ITEMS = [{"prompt": f"{n} + 1 =", "answer": str(n + 1)} for n in range(4)]
CARD = {
    "name": "own",
    "title": "own",
    "citation": "none",
    "adapter": {"name": "lora", "r": 2, "alpha": 4},
    "strategy": {"name": "lisa", "num_active": 2, "period": 5},
    "optimizer": {"name": "adamw", "weight_decay": 0.0},
    "always_train": [],
    "training": {"lr": 1.0e-3},
    "provenance": {"strategy.period": {"source": "choice", "note": "any"}},
}
BENCHMARK = {
    "name": "sums",
    "version": "1",
    "title": "sums",
    "description": "own",
    "source": {"name": "jsonl", "path": "items.jsonl"},
    "licence": "own",
    "kind": "generate",
    "metric": "numeric_match",
    "extraction": "answer-is",
    "max_new_tokens": 8,
    "stop": ["\n"],
    "num_items": 4,
    "contamination": "none",
}
PLUGIN = '''from pydantic import PositiveInt

from lwft_bench.strategies import PluginOptions, Selection, Strategy, register


@register("mine")
class Mine(Strategy):
    """One layer."""

    class Options(PluginOptions):
        period: PositiveInt = 5

    def select(self, step):
        return Selection(units=[0], num_steps=self.options.period)
'''
SUITE = {
    "name": "torn",
    "title": "torn",
    "models": ["embedded", {"name": "m", "path": "./model"}],
    "methods": ["base", "fft", "./card.yaml", "mine"],
    "tasks": [
        {
            "name": "t",
            "data": "instructions",
            "data_options": {"train": "train.jsonl", "form": "alpaca"},
            "train_examples": 4,
            "validation_examples": 2,
            "benchmarks": ["./sums.yaml", "add-sub"],
            "items_per_benchmark": 4,
        }
    ],
    "seeds": [0, 1],
    "training": {"steps": 4, "batch_size": 2, "lr": 1.0e-3, "clip": {"mode": "unit"}},
    "evaluation": {"batch_size": 8},
    "overrides": [{"method": ["own", "fft"], "set": {"training.lr": 2.0e-3}}],
    "ablate": {"strategy.period": [2, 5]},
    "baseline": "fft",
    "plugins": ["mine.py"],
    "published": {"source": "none", "scores": {"m": {"fft": {"average": 50.0}}}},
}
ODD = (
    "null", "true", "-1", "0", "1e999", "nan", ".inf", "{}", "[]", "[[[]]]", "{a: b}", "x" * 300,
    "9" * 5000, "2024-13-45", "2024-02-30", "2024-01-01", "2024-01-01T25:00:00Z", "!!binary xx",
    "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!int x", "!!float x", "!!bool 7",
    "!!timestamp x", "!!python/object:os.system ls", "&a [*a]", "*b", "{? [a]: b}", "{? {a: b}: c}",
    '"\\ud83d"', "''", "\t", "../../../etc/hostname", "/dev/zero", "/", "a/b", "0x10", "1_000",
    "0o17", "12:30:45", "=", "<<", "<<: 3", "~", '"\\u0000"', "-", "?", "%", "@", "`", "[", "{",
    "[" * 3000, "- " * 3000, '{"a":' * 3000, "|", ">-", "!", "&a", "1.5", "-0.0", "é\u2028", "💥",
)  # fmt: skip
"""What stands in a value's place."""


@dataclass(frozen=True)
class Kind:
    """file: what is changed. read: what reads it, in the folder that has everything."""

    file: str
    read: Callable[[Path], object]


def _suite(folder: Path) -> object:
    from lwft_bench.suites.loading import load_suite

    return load_suite(str(folder / "suite.yaml"))


def _task(folder: Path, train: str, data: str = "instructions") -> Any:
    from lwft_bench.schema.cell import TaskConfig

    return TaskConfig(
        name="t",
        data=data,
        data_options={"train": str(folder / train)},
        train_examples=4,
        validation_examples=0,
        benchmarks=(str(folder / "sums.yaml"),),
    )


def _data(train: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from lwft_bench.data.sources import load_examples

        return load_examples(_task(folder, train))

    return read


def _items(folder: Path) -> object:
    from lwft_bench.data.items import load_items

    return load_items(_task(folder, "train.jsonl"), str(folder / "sums.yaml"))


def _model(folder: Path) -> Any:
    from lwft_bench.schema.cell import ModelConfig

    return ModelConfig(name="m", path=str(folder / "model"))


def _tokenizer(folder: Path) -> object:
    from lwft_bench.models.loading import load_tokenizer

    return load_tokenizer(_model(folder))(["Any text, 12."])


def _config(folder: Path) -> object:
    import torch

    from lwft_bench.models.loading import empty_model, require_shape

    require_shape(_model(folder))
    return empty_model(_model(folder), torch.float32, "sdpa")


def _weights(folder: Path) -> object:
    import torch

    from lwft_bench.models.loading import load_model
    from lwft_bench.preflight.weights import check_weights

    check_weights(_model(folder))
    return load_model(_model(folder), dtype=torch.float32, attention="sdpa", seed=0)


def _run(folder: Path) -> object:
    """What a report reads, and the tables that it makes of it."""
    from lwft_bench.reporting.numbers.context import Context
    from lwft_bench.reporting.read.records import read_run
    from lwft_bench.reporting.sections import TABLE_NAMES, tables_named
    from lwft_bench.results.frames import read_run as as_frames
    from lwft_bench.results.store import RunStore
    from lwft_bench.schema.errors import UserError

    context = Context.of(records := read_run(folder / "run"))
    tables = [tables_named(name, context) for name in TABLE_NAMES]
    for cell in records.cells:
        if cell.status == "unreadable":  # the report names it, and goes on
            raise UserError(cell.error)
    as_frames(folder / "run")
    RunStore(folder / "run").recover()
    return tables


def _checkpoint(folder: Path) -> object:
    from lwft_bench.schema.errors import UserError
    from lwft_bench.training.checkpoints import Checkpoints

    told: list[str] = []
    found = Checkpoints(folder / "work").load_latest(told.append)
    if told:
        assert found is None or found.values["step"] == 1
        raise UserError(told[0])
    assert found is not None
    assert found.values["step"] == 2
    return found


CELL = "run/cells/tiny--lisa--arith--seed0"
NEWEST = "work/checkpoint-000002"
KINDS = {
    "suite": Kind("suite.yaml", _suite),
    "card": Kind("card.yaml", _suite),
    "benchmark": Kind("sums.yaml", _suite),
    "plugin": Kind("mine.py", _suite),
    "jsonl": Kind("train.jsonl", _data("train.jsonl")),
    "json": Kind("train.json", _data("train.json")),
    "csv": Kind("train.csv", _data("train.csv")),
    "gz": Kind("train.jsonl.gz", _data("train.jsonl.gz")),
    "parquet": Kind("train.parquet", _data("train.parquet")),
    "arrow": Kind("train.arrow", _data("train.arrow")),
    "items": Kind("items.jsonl", _items),
    "tokenizer": Kind("model/tokenizer.json", _tokenizer),
    "tokenizer config": Kind("model/tokenizer_config.json", _tokenizer),
    "config": Kind("model/config.json", _config),
    "weights": Kind("model/model.safetensors", _weights),
    "suite.json": Kind("run/suite.json", _run),
    "result": Kind(f"{CELL}/result.json", _run),
    "steps": Kind(f"{CELL}/steps.jsonl", _run),
    "selections": Kind(f"{CELL}/selections.jsonl", _run),
    "samples": Kind(f"{CELL}/samples.jsonl", _run),
    "checkpoint": Kind(f"{NEWEST}/checkpoint.json", _checkpoint),
    "checkpoint tensors": Kind(f"{NEWEST}/tensors.safetensors", _checkpoint),
    "checkpoint rows": Kind("work/trace.jsonl", _checkpoint),
    "checkpoint sums": Kind(f"{NEWEST}/sha256.json", _checkpoint),
}


def make(folder: Path) -> None:
    """Everything, sound."""
    import gzip

    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    for name, value in (("suite", SUITE), ("card", CARD), ("sums", BENCHMARK)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")
    (folder / "mine.py").write_text(PLUGIN, "utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "train.jsonl").write_text(lines, "utf-8")
    (folder / "train.json").write_text(json.dumps(ROWS, indent=1), "utf-8")
    (folder / "train.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, folder / "train.parquet")
    with (
        pyarrow.OSFile(str(folder / "train.arrow"), "wb") as sink,
        pyarrow.ipc.new_file(sink, table.schema) as out,
    ):
        out.write_table(table)
    items = "".join(json.dumps(row) + "\n" for row in ITEMS)
    (folder / "items.jsonl").write_text(items, "utf-8")
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytes_ = Tokenizer(models.BPE(vocabulary | {"<end>": 256}, []))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.add_special_tokens(["<end>"])
    PreTrainedTokenizerFast(
        tokenizer_object=bytes_, eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder / "model")
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=260,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    ).save_pretrained(folder / "model")
    _make_run(folder)
    _make_checkpoints(folder / "work")


def _make_run(folder: Path) -> None:
    """Of made-up numbers, as the tests of the report have them."""
    path = Path(__file__).parents[1] / "reporting" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up_runs", path)
    assert spec is not None and spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made_up  # dataclasses look there
    spec.loader.exec_module(made_up)
    maker = made_up.RunMaker(folder / "run", num_items=2, steps=6)
    for name in ("fft", "lisa"):
        for seed in (0, 1):
            maker.add(maker.method(name, 0.5, num_active=2 if name == "lisa" else None), seed)
    maker.finish()
    for path in (folder / "run" / "suite.json", *(folder / "run").glob("cells/*/result.json")):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=2) + "\n")


def _make_checkpoints(folder: Path) -> None:
    import torch

    from lwft_bench.training.checkpoints import Checkpoint, Checkpoints

    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        rows = [("steps", {"step": step, "loss": 1.5})]
        checkpoints.save(step, Checkpoint({"weight/a": torch.ones(4)}, {"step": step}, rows))


def mutated(content: bytes, chance: random.Random, binary: bool) -> tuple[bytes, int]:
    """The content changed in one place, and the line of that."""
    if binary or chance.random() < 0.3:
        at = chance.randrange(len(content))
        changed = bytearray(content)
        match chance.randrange(5):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + chance.randrange(1, 40)]
            case 3:
                changed[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
            case _:
                changed[at : at + 8] = b"\0" * 8
        return bytes(changed), content.count(b"\n", 0, at) + 1
    text = content.decode()
    lines = text.split("\n")
    number = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0 | 1 | 2:
            words = list(re.finditer(r"[\w.+/-]+", text))
            word = chance.choice(words)
            text = text[: word.start()] + chance.choice(ODD) + text[word.end() :]
            return text.encode(errors="surrogatepass"), text.count("\n", 0, word.start()) + 1
        case 3:
            del lines[number]
        case 4:
            lines.insert(number, lines[chance.randrange(len(lines))])
        case _:
            lines[number] = chance.choice((" ", "  ", "\t", "- ", "# ")) + lines[number]
    return "\n".join(lines).encode(), number + 1


@dataclass(frozen=True)
class Outcome:
    """what: accepted, silent (accepted, and the file is not of its format), told (with the file's
    name), unplaced (told without it), traceback, hang or signal.

    off: lines between what was changed and the nearest that was told, 0 where the key is named that
    stood there and is gone; None where no line was told.
    """

    kind: str
    number: int
    what: str
    text: str
    off: int | None = None


def campaign(folder: Path, count: int, kinds: list[str]) -> Iterator[Outcome]:
    """`count` inputs of each kind. `folder` is empty."""
    if (child := os.fork()) == 0:  # so that torch is not in every child of what needs none
        make(folder)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for name in kinds:
        kind = KINDS[name]
        path = folder / kind.file
        sound = path.read_bytes()
        kind.read(folder)  # it is; and what it imports is there for the children
        binary = b"\0" in sound or sound.startswith(b"\x1f\x8b")
        for number in range(count):
            content, line = mutated(sound, random.Random(f"{name} {number}"), binary)
            path.write_bytes(content)
            lost = keys_about(sound) - keys_about(content)
            gone = {key for key in keys_about(sound, line) if key in lost}
            yield _tried(name, number, kind, folder, line, gone)
        path.write_bytes(sound)


def keys_about(content: bytes, line: int | None = None) -> Counter[str]:
    """How often keys, `key:` or `"key":`, stand in a text, or in one line and its neighbours."""
    lines = content.decode(errors="replace").split("\n")
    chosen = lines if line is None else lines[max(0, line - 2) : line + 1]
    return Counter(key for each in chosen for key in re.findall(r"([\w-]+)\"?:", each))


def _tried(name: str, number: int, kind: Kind, folder: Path, line: int, gone: set[str]) -> Outcome:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.write(writing, json.dumps(_read(kind, folder)).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        ended = os.WTERMSIG(status)
        return Outcome(name, number, "hang" if ended == signal.SIGALRM else "signal", str(ended))
    what, text = json.loads(answer)
    short = kind.file.rpartition("/")[2]
    # What a plugin lacks is told where the suite asks for it.
    named = (short, "suite.yaml:")
    if what == "told" and not any(name in text for name in named):
        what = "unplaced"
    if what == "accepted" and not is_sound(folder / kind.file, (folder / kind.file).read_bytes()):
        what = "silent"
    told = [int(found) for found in re.findall(rf"{re.escape(short)}:(\d+)", text)]
    off = min((abs(each - line) for each in told), default=None)
    if off is not None:
        also = [int(found) for found in re.findall(r" on line (\d+)", text)]
        named_gone = any(re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", text) for key in gone)
        off = 0 if named_gone else min(abs(each - line) for each in [*told, *also])
    return Outcome(name, number, what, text, off)


def _read(kind: Kind, folder: Path) -> tuple[str, str]:
    from lwft_bench.schema.errors import UserError

    try:
        kind.read(folder)
    except UserError as error:
        return "told", str(error)[:20_000]
    except BaseException:
        return "traceback", traceback.format_exc()[-3000:]
    return "accepted", ""


def main() -> None:
    count = int(sys.argv[1])
    kinds = sys.argv[2:] or list(KINDS)
    names = ("accepted", "silent", "told", "unplaced", "traceback", "hang", "signal")
    columns = (*names, "located", "within one")
    print(f"{'kind':<18}" + "".join(f"{name:>11}" for name in columns))
    outcomes: list[Outcome] = []

    def told(kind: str) -> None:
        mine = [one for one in outcomes if kind in (one.kind, "all")]
        counts = Counter(one.what for one in mine)
        off = [one.off for one in mine if one.off is not None]
        shown = (*(counts[name] for name in names), len(off), sum(each <= 1 for each in off))
        print(f"{kind:<18}" + "".join(f"{number:>11}" for number in shown), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for outcome in campaign(Path(folder), count, kinds):
            outcomes.append(outcome)
            if outcome.number == count - 1:
                told(outcome.kind)
    told("all")
    for one in outcomes:
        far = one.off is not None and one.off > 1
        if far or one.what not in ("accepted", "told"):
            what = f"{one.what}, {one.off} lines off" if far else one.what
            print(f"\n== {one.kind} {one.number}: {what}\n{one.text[-700:]}")


if __name__ == "__main__":
    main()
