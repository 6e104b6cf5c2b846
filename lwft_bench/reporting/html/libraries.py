"""The JavaScript libraries of the HTML report, taken from the Python packages that ship them."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

EXTRA = "html"
PLOTLY, TABLES = ("plotly", "package_data/plotly.min.js"), ("itables", "html/dt_bundle.js")
TABLES_STYLE = ("itables", "html/dt_bundle.css")


@dataclass(frozen=True, slots=True)
class Library:
    """A script. digest: what a content security policy allows it by."""

    text: str

    @property
    def digest(self) -> str:
        found = hashlib.sha256(self.text.encode()).digest()
        return f"'sha256-{base64.b64encode(found).decode()}'"

    def packed(self) -> str:
        """Compressed, as base64: a third of its size."""
        return base64.b64encode(gzip.compress(self.text.encode(), 9, mtime=0)).decode()


def missing() -> str | None:
    """Why there is no HTML report here, and what helps; None where nothing is missing."""
    absent = [package for package, name in (PLOTLY, TABLES) if _path(package, name) is None]
    if not absent:
        return None
    return (
        f"report.html is left out: it is made with {' and '.join(absent)} "
        f"(pip install 'lwft-bench[{EXTRA}]')"
    )


def library(source: tuple[str, str]) -> Library:
    """The library in this file of this package."""
    path = _path(*source)
    assert path is not None, "told by `missing`"
    return Library(path.read_text(encoding="utf-8"))


def _path(package: str, name: str) -> Path | None:
    """Found without importing the package, which may take long."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None
