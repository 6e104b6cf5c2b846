"""What figures are drawn as beside the PNG files of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PrintFormat = Literal["pdf", "svg"]
PRINT_FORMATS: tuple[PrintFormat, ...] = get_args(PrintFormat)
PrintWidth = Literal["text", "column"]
"""The page's text over its whole width, or one of two columns."""


@dataclass(frozen=True, slots=True)
class ForPrint:
    """In which formats figures are drawn for print, and how wide."""

    formats: tuple[PrintFormat, ...] = ()
    width: PrintWidth = "text"
