"""Student's distribution, and its degrees of freedom where variances were added up."""

from __future__ import annotations

import math


def satterthwaite(total: float, *parts: tuple[float, float]) -> float:
    """Degrees of freedom of a variance that was estimated by adding up parts.

    Args:
        total: the variance.
        parts: the variance and the degrees of freedom of each.
    """
    spread = sum(variance**2 / degrees for variance, degrees in parts)
    return total**2 / spread if spread > 0 else math.inf


def student_quantile(confidence: float, degrees: float) -> float:
    """T with P(|T| < t) = confidence."""
    # It takes as long to import as pandas, and nothing read needs it.
    from scipy.special import stdtrit

    return float(stdtrit(min(degrees, 1e9), 0.5 + confidence / 2))


def two_sided_p(difference: float, stderr: float, degrees: float) -> float:
    """P(|T| > |difference| / stderr)."""
    from scipy.special import stdtr

    if stderr == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    return float(2 * stdtr(min(degrees, 1e9), -abs(difference) / stderr))
