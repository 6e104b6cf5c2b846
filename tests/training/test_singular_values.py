from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lwft_bench.training.singular_values import signal_to_noise


def with_singular_values(values: list[float], columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = len(values)
    left = torch.linalg.qr(torch.randn(rows, rows, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(columns, rows, generator=generator, dtype=torch.float64)).Q
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T


def test_ratio_worked_out_by_hand():
    values = [20.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    spread = (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.349
    threshold = spread * (1 + math.sqrt(8 / 32))
    assert 3 < threshold < 4.5
    above = sum(v for v in values if v > threshold)
    below = sum(v for v in values if v <= threshold)
    matrix = with_singular_values(values, 32)
    assert signal_to_noise(matrix) == pytest.approx(above / below / 20, rel=1e-5)
    assert signal_to_noise(matrix.T) == pytest.approx(above / below / 20, rel=1e-5)


def test_it_goes_by_the_largest_singular_value_as_published():
    """So it is not free of scale: a matrix twice as large has half the ratio."""
    matrix = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))
    assert signal_to_noise(2 * matrix) == pytest.approx(signal_to_noise(matrix) / 2, rel=1e-4)


def test_edges():
    assert signal_to_noise(torch.zeros(4, 4)) == 0
    assert signal_to_noise(torch.eye(4)) == math.inf
    generator = torch.Generator().manual_seed(0)
    assert math.isfinite(signal_to_noise(torch.randn(32, 16, generator=generator).bfloat16()))
