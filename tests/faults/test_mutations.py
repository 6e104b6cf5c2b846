"""Nothing that is read ends in a traceback, hangs or kills the process, however it is torn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from mutations import KINDS, campaign

pytestmark = pytest.mark.faults

WITHIN_ONE_LINE = 0.97
"""Of messages with a line. A bracket that is gone may be missed only where the text ends."""


def test_torn_files_are_told(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    outcomes = list(campaign(tmp_path, pytestconfig.getoption("--torn"), list(KINDS)))
    silent = Counter(one.kind for one in outcomes if one.what == "silent")
    print(f"{len(outcomes)} inputs; accepted though not of their format: {dict(silent) or 'none'}")
    bad = [one for one in outcomes if one.what not in ("accepted", "silent", "told")]
    assert not bad, f"{Counter(one.what for one in bad)}\n" + "\n".join(map(str, bad[:5]))
    off = [one.off for one in outcomes if one.off is not None]
    within = sum(each <= 1 for each in off)
    print(f"{len(off)} messages with a line, {within} of them within one line")
    assert within >= WITHIN_ONE_LINE * len(off)
