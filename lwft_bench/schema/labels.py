"""What methods are called where their cells stand together: in tables, figures and claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def short_options(ablation: Mapping[str, Any]) -> tuple[str, ...]:
    """Ablated options by the last part of their key path: `temperature=0.1`."""
    return tuple(f"{key.rpartition('.')[2]}={value}" for key, value in ablation.items())


def label_of(method: str, ablation: Mapping[str, Any]) -> str:
    """`grass (temperature=0.1)` if an option is ablated."""
    return f"{method} ({', '.join(short_options(ablation))})" if ablation else method
