"""What every test needs set before torch is imported."""

from __future__ import annotations

import os

import pytest

# Tests start processes beside their own: two threads each on two cores would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Nothing here may ask the network; without this an attempt is retried for half a minute.
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schedules", type=int, default=1000, help="hostile orders of copies to try")
