"""How much of a matrix stands out of noise, by its singular values (arXiv 2406.06623)."""

from __future__ import annotations

import math

import torch

NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution with standard deviation 1."""


def signal_to_noise(matrix: torch.Tensor) -> float:
    """Sum of the singular values above a threshold over that of the others, over the largest one.

    The threshold is sigma (1 + sqrt(beta)), the edge of the Marchenko-Pastur law for a ratio beta of
    the shorter side to the longer, with sigma the interquartile range of the singular values over
    NORMAL_IQR. inf if nothing lies below it, 0 for a matrix of zeros.

    The singular values are computed in float32: besides a copy of the matrix this needs about
    another one.
    """
    values = torch.linalg.svdvals(matrix.float()).double()
    if values[0] == 0:
        return 0.0
    lower, upper = torch.quantile(values, values.new_tensor([0.25, 0.75]))
    beta = min(matrix.shape) / max(matrix.shape)
    threshold = (upper - lower) / NORMAL_IQR * (1 + math.sqrt(beta))
    signal = values[values > threshold].sum()
    noise = values[values <= threshold].sum()
    return float(signal / noise / values[0])
