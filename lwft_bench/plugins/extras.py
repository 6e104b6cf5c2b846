"""Packages that only some methods need."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from lwft_bench.schema.errors import UserError


def import_extra(module: str, extra: str) -> Any:
    """The module, or a `UserError` that names the extra of lwft-bench that brings it."""
    try:
        with warnings.catch_warnings():
            # bitsandbytes and galore-torch use parts of torch that torch has since deprecated.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UserError(
            f"this needs the package {package}, which does not import: {error}",
            f"pip install 'lwft-bench[{extra}]'",
        ) from error
