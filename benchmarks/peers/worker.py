"""A trainer's process: python -m benchmarks.peers.worker PEER FOLDER"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.peers.peers import run_of


def main() -> None:
    peer, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    run = run_of(peer)
    import torch

    from benchmarks.peers.setting import Setting
    from benchmarks.peers.turns import Turns

    torch.set_num_threads(1)
    torch.manual_seed(0)
    setting = Setting.read(folder)
    turns = Turns(answers, lambda step: setting.tokens[step])
    turns.ready_to_load()
    run(setting, turns)
    raise SystemExit("its data ended")


if __name__ == "__main__":
    main()
