"""Where the self-test's outcome is kept, for results made on the same device to cite."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lwft_bench.data.caches import cache_folder
from lwft_bench.results.atomic import write_text_atomic
from lwft_bench.schema.result import Check

STATE = Path(__file__).parents[1] / "state"


def write_record(device_name: str, torch_version: str, found: Sequence[Check]) -> Path:
    """Keeps the outcome; one file a device, in the user's cache directory."""
    record = {
        "device": device_name,
        "torch": torch_version,
        "engine": engine_digest(),
        "passed": all(check.passed for check in found),
        "date": datetime.now(UTC).date().isoformat(),
        "checks": [check.model_dump() for check in found],
    }
    path = record_path(device_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, json.dumps(record, indent=2) + "\n")
    return path


def verdict(device_name: str, torch_version: str) -> str:
    """What a result made on that device says of the engine that moved its optimizer state."""
    try:
        record: dict[str, Any] = json.loads(record_path(device_name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "engine not verified on this device"
    same = record.get("torch") == torch_version and record.get("engine") == engine_digest()
    if not same:
        return "engine not verified on this device since torch or the engine changed"
    outcome = "passed" if record["passed"] else "FAILED"
    return f"self-test {outcome} on {record['date']}"


def engine_digest() -> str:
    """sha256 over the sources of everything that moves and updates state."""
    digest = hashlib.sha256()
    for path in sorted(STATE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def record_path(device_name: str) -> Path:
    """The device's file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", device_name)
    return cache_folder() / f"selftest-{name}.json"
