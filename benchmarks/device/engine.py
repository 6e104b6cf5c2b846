"""The stage that runs `lwft-bench selftest` on the device, and keeps its verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.device.setting import Row, Setting


def run(setting: Setting) -> Iterator[Row]:
    import torch

    from lwft_bench.cell.provenance import accelerator
    from lwft_bench.cell.selftest_verdict import record_path, verdict, write_record
    from lwft_bench.schema.result import Check
    from lwft_bench.selftest.checks import checks

    if setting.rehearse:
        torch.set_num_threads(1)
    name = setting.device if setting.device == "cpu" else str(accelerator())
    found: list[Check] = []
    for check in checks(setting.device):
        found.append(check)
        yield {
            "table": "checks",
            "what": check.name,
            "passed": check.passed,
            "detail": check.detail,
        }
    write_record(name, torch.__version__, found)
    record = json.loads(record_path(name).read_text(encoding="utf-8"))
    yield {
        "table": "verdict that results on this device cite",
        "what": verdict(name, torch.__version__),
        "engine": record["engine"],
    }
