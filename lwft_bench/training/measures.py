"""Statistics of units that a strategy may ask for before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lwft_bench.training.groups import Group
from lwft_bench.training.readings import sum_of_squares


def measure_units(statistic: str, units: Sequence[Group]) -> np.ndarray:
    """float64 [units].

    weight_norm: the mean, over the unit's weight matrices (parameters of two dimensions), of the
    Frobenius norm.
    """
    if statistic != "weight_norm":
        raise ValueError(f"unknown statistic {statistic!r}; there is: weight_norm")
    return np.array([_mean_matrix_norm(unit) for unit in units])


def _mean_matrix_norm(unit: Group) -> float:
    matrices = [p.detach() for p in unit.parameters.values() if p.dim() == 2]
    return float(np.mean([float(sum_of_squares(matrix).sqrt()) for matrix in matrices]))
