"""Who is measured. Light to import: what a trainer needs is imported in its own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers.setting import Setting
    from benchmarks.peers.turns import Turns

    Run = Callable[[Setting, Turns], None]

BASELINE = "hf-fft"
APART = "torchtune"
"""The peer whose packages are in a folder of that name in the environment, which it alone sees."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table.

    nearest: the peer that does the same without this package; None: it is one. weights: those that end
    in the same ones up to rounding have the same word. notes: what it computes otherwise, by its letter.
    """

    title: str
    nearest: str | None = None
    weights: str | None = None
    notes: str = ""


PEERS = {
    "bare": Peer("bare loop, fft", weights="fft", notes="a"),
    "hf-fft": Peer("Hugging Face Trainer, fft", weights="fft", notes="b"),
    "torchtune": Peer("torchtune 0.6.1, fft", weights="fft", notes="c"),
    "trl": Peer("TRL SFTTrainer, packing, fft", notes="bd"),
    "hf-lora": Peer("Hugging Face Trainer, peft LoRA", notes="b"),
    "hf-lisa": Peer("Hugging Face Trainer, LISA callback", weights="lisa", notes="b"),
    "hf-badam": Peer("Hugging Face Trainer, badam 1.4", weights="badam", notes="be"),
    "fft-padded": Peer("**lwft-bench fft**, padded", "hf-fft", "fft"),
    "fft-packed": Peer("**lwft-bench fft**, packed", "hf-fft", "fft"),
    "lora-padded": Peer("**lwft-bench lora**, padded", "hf-lora", notes="f"),
    "lora-packed": Peer("**lwft-bench lora**, packed", "hf-lora", notes="f"),
    "lisa-padded": Peer("**lwft-bench lisa**, padded", "hf-lisa", "lisa"),
    "lisa-packed": Peer("**lwft-bench lisa**, packed", "hf-lisa", "lisa"),
    "grass-padded": Peer("**lwft-bench grass**, padded", notes="g"),
    "grass-packed": Peer("**lwft-bench grass**, packed", notes="g"),
    "badam-padded": Peer("**lwft-bench badam**, padded", "hf-badam", "badam"),
    "badam-packed": Peer("**lwft-bench badam**, packed", "hf-badam", "badam"),
}

NOTES = {
    "a": "At most 60 lines (`bare_loop.py`): padded rows without a mask, the head on target tokens.",
    "b": "Padded rows come with a mask, which sdpa gets; logits of all tokens.",
    "c": "Its model, collation and loss in the steps of its recipe; rows padded, without a mask.",
    "d": "Other batches: rows of the greatest length filled by best fit with whole sequences, as many "
    "as come closest to the others' tokens a step, in one row with a block-diagonal mask. So order and "
    "the step's normalisation are over other sequences.",
    "e": "The active block is copied, and so are its gradients: its package expects half precision.",
    "f": "Initial adapters are drawn otherwise than peft's, so weights are not compared.",
    "g": "No peer has it, and its ratio is to full fine-tuning. It trains two layers, neither embedding "
    "nor head, so its steps cost less than LISA's; probing is not in them, but before the first step.",
}


def run_of(name: str) -> Run:
    """What runs in a process of its own; imports what it needs."""
    if name == "bare":
        from benchmarks.peers.bare_loop import run

        return run
    if name == "torchtune":
        from benchmarks.peers.torchtune_loop import run as run_torchtune

        return run_torchtune
    if name == "trl":
        import trl  # noqa: F401  (its import belongs to the time before the first step)

        from benchmarks.peers.hugging_face import run_trl

        return run_trl
    kind, _, what = name.partition("-")
    if kind == "hf":
        from benchmarks.peers.hugging_face import run as run_hugging_face

        return lambda setting, turns: run_hugging_face(
            setting, turns, "full" if what == "fft" else what
        )
    from benchmarks.peers.this_trainer import run as run_this

    return lambda setting, turns: run_this(setting, turns, kind, what)
