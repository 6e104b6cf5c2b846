"""Checks before a run that find what their names say, or end as they do."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from lwft_bench.schema.cell import Cell
from lwft_bench.schema.findings import Findings


def warns(cells: Sequence[Cell]) -> Findings:
    findings = Findings()
    findings.warn(f"{len(cells)} cells looked at")
    return findings


def finds(cells: Sequence[Cell]) -> Findings:
    findings = Findings()
    findings.problem("one thing is wrong", "mend it")
    findings.problem("another is too")
    return findings


def dies(cells: Sequence[Cell]) -> Findings:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def breaks(cells: Sequence[Cell]) -> Findings:
    raise KeyError("not expected")
