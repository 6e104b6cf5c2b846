"""The small suite that tests vary, and the types of what their fixtures give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Write = Callable[[str, str], Path]
Problems = Callable[..., list[str]]

SUITE = """
name: small
models: [embedded]
methods: [base, fft, grass]
tasks: [arith]
seeds: [0, 1]
training: {steps: 8}
"""


def replaced(**lines: str) -> str:
    """The small suite with some of its lines replaced, or added at the end."""
    given = dict(line.split(": ", 1) for line in SUITE.strip().splitlines())
    return "\n".join(f"{key}: {value}" for key, value in (given | lines).items()) + "\n"
