"""What training must know of a model that its parts do not tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """What the model does that neither its class nor its config tells.

    own_logits: the logits are not what the head returns (soft caps, scales), so the head cannot be
    applied to target tokens alone. without_gradient: names of parameters that no backward pass
    reaches, whatever the data. attention: the implementation that the model was built with.
    even_choices: shapes depend on what routers choose, so that plans let them choose evenly. problem:
    why a step of the model could not be run on tensors without values, so that none of this could be
    found; None where it could.
    """

    own_logits: bool = False
    without_gradient: frozenset[str] = frozenset()
    attention: str | None = None
    even_choices: bool = False
    problem: str | None = None


NOTHING_SPECIAL = Traits()
"""Of a model whose logits are its head's output and whose every parameter a gradient reaches."""
