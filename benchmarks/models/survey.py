"""Every causal class of the installed transformers, tiny and random: what the package does with it.

`python benchmarks/models/survey.py RESULTS.json [MODEL_TYPE ...]` goes on from the results in the file
and writes them there after each class; named classes are done again. With `--quick` only full training
and its plan in float32 are tried. Each has a process of its own,
forked from this one, and LIMIT seconds. Then it prints the table of docs/models.md, where `table.py`
puts it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from one_class import survey
from table import table
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LIMIT = 900
"""Seconds for one class."""

Found = dict[str, Any]


def child(model_type: str, pipe: Connection, quick: bool) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    try:
        survey(model_type, pipe.send, quick=quick)
    except BaseException as error:
        pipe.send({"crashed": f"{type(error).__name__}: {error}"})
        raise


def surveyed(model_type: str, quick: bool) -> Found:
    """All findings that came within the limit."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=child, args=(model_type, theirs, quick))
    process.start()
    theirs.close()
    process.join(LIMIT)
    hung = process.is_alive()
    if hung:
        process.kill()
        process.join()
    found: Found = {}
    try:
        while ours.poll():
            found |= ours.recv()
    except EOFError:
        pass
    if hung:
        found["hung"] = f"after {LIMIT} s"
    elif process.exitcode:
        found.setdefault("crashed", f"exit code {process.exitcode}")
    return found


def main(results: Path, *wanted: str) -> None:
    quick = "--quick" in wanted
    wanted = tuple(name for name in wanted if name != "--quick")
    torch.set_num_threads(1)
    known: dict[str, Found] = json.loads(results.read_text()) if results.is_file() else {}
    versions = ", ".join(f"{one.__name__} {one.__version__}" for one in (transformers, torch, peft))
    every = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    for model_type in wanted or [name for name in every if name not in known]:
        known[model_type] = surveyed(model_type, quick) | {"with": versions}
        results.write_text(json.dumps(known, indent=1, sort_keys=True))
        print(model_type, file=sys.stderr)
    print(table({name: known[name] for name in every if name in known}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
