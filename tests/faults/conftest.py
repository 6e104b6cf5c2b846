import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))  # for processes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=3, help="kills of a run at random moments")
    parser.addoption("--campaign", type=int, default=10, help="kills of pretended runs")
    parser.addoption("--torn", type=int, default=140, help="torn inputs of each kind")
