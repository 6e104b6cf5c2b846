"""Whether trainers that should end in the same weights do."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.bare_loop import weights
from benchmarks.peers.peers import PEERS
from benchmarks.peers.sizes import LR


def differences(saved: dict[str, Path]) -> dict[str, float]:
    """The largest of each trainer's weights to those of this trainer's padded steps of the same method,
    in learning rates.
    """
    found = {}
    for peer, path in saved.items():
        reference = f"{PEERS[peer].weights}-padded"
        if peer == reference or reference not in saved:
            continue
        ours, theirs = weights(saved[reference]), weights(path)
        assert ours.keys() == theirs.keys(), f"{peer}: {sorted(ours.keys() ^ theirs.keys())[:3]}"
        found[peer] = max(float((ours[name] - theirs[name]).abs().max()) for name in ours) / LR
    return found
