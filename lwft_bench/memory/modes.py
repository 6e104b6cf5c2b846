"""What the dispatch modes of this package have in common."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class UncompiledMode(TorchDispatchMode):
    """A dispatch mode within which nothing is compiled.

    torch puts a function of its compiler around each call of a mode, which a dry run makes some ten
    thousand of; here it does not. Modes that compare references to tensors must all be of this kind:
    that function holds some, too.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # torch's name; versions without it put nothing around
        return False
