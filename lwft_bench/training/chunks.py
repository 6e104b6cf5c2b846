"""One stream of parameters, cut into pieces of about equal bytes at the borders of rows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

_Rows = tuple[int, int]
"""The first row, and the one after the last."""


def cut_rows(sizes: Sequence[tuple[int, int]], num_chunks: int) -> list[list[_Rows]]:
    """For each parameter, its rows in each chunk; most are none of it or all.

    Of a parameter that begins at byte s of the stream and has b bytes in L rows, cut i of a stream of B
    bytes is at row round(min(max(i B / K - s, 0), b) / (b / L)), half a row to the even number, and not
    before the cut before it.

    Args:
        sizes: bytes and rows of each parameter, in the order of the stream.
    """
    total, start = sum(num_bytes for num_bytes, _ in sizes), 0
    found = []
    for num_bytes, num_rows in sizes:
        cuts = [0]
        for number in range(1, num_chunks):
            place = Fraction(number * total, num_chunks) - start
            inside = min(max(place, Fraction(0)), Fraction(num_bytes))
            cuts.append(max(cuts[-1], round(inside * num_rows / num_bytes)))
        found.append(list(pairwise([*cuts, num_rows])))
        start += num_bytes
    return found
