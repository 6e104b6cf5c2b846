"""Writes golden traces anew: `python -m tests.fidelity.regenerate [CARD ...]`, all without names.

Only after a change that is meant to change numbers; the changelog then says so.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from tests.fidelity.traces import GOLDEN, golden_file, trace, write
from tests.training.small_cards import small_cards


def main(names: list[str]) -> None:
    cards = small_cards()
    GOLDEN.mkdir(exist_ok=True)
    for name in names or cards:
        write(name, trace(cards[name]))
        print(golden_file(name))
    for path in GOLDEN.glob("*.json"):
        if path.stem not in cards:
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
