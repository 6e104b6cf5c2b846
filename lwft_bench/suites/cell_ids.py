"""What tells a suite's cells apart, as parts of their ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lwft_bench.suites.changes import Assignment


def labels(assignments: Sequence[Assignment], keys: Sequence[str]) -> list[str]:
    """`lr=0.001`, or with the whole key path where several of `keys` end alike."""
    last_keys = Counter(key.rpartition(".")[2] for key in keys)
    labels = []
    for assignment in assignments:
        last = assignment.key.rpartition(".")[2]
        key = last if last_keys[last] == 1 else assignment.key
        labels.append(f"{key}={_label(assignment.value)}")
    return labels


def _label(value: Any) -> str:
    """A value as a part of a cell id, fit for a folder's name."""
    if isinstance(value, list):
        return "+".join(map(_label, value)) or "none"
    text = str(value).lower() if isinstance(value, bool | None) else str(value)
    return re.sub(r"[^A-Za-z0-9.+_-]", "-", text)
