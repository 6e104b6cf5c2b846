#!/bin/sh
# torch's FlopCounterMode counts nothing for a matrix product that is added in place (addmm_).
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""The operations counted for a product, by the way it is written."""

import platform
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode


def flops(compute) -> int:
    """What the counter says of one call."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops()


torch.manual_seed(0)
inputs, grad_outputs = torch.randn(6, 4), torch.randn(6, 5)
weight_grad = torch.zeros(5, 4)
accumulated = weight_grad.clone()
batch = torch.randn(2, 6, 5), torch.randn(2, 6, 4)

functional = flops(lambda: torch.addmm(weight_grad, grad_outputs.T, inputs))
out = flops(lambda: torch.addmm(weight_grad, grad_outputs.T, inputs, out=torch.empty(5, 4)))
inplace = flops(lambda: accumulated.addmm_(grad_outputs.T, inputs))
batched = flops(lambda: torch.zeros(2, 5, 4).baddbmm_(batch[0].mT, batch[1]))
same = torch.allclose(accumulated, torch.addmm(weight_grad, grad_outputs.T, inputs))

product = 2 * 5 * 6 * 4
print(f"python {platform.python_version()}, torch {torch.__version__}")
print("A weight's gradient, grad_outputs.T @ inputs added to what is there; sizes (5, 6) @ (6, 4).")
print(f"Guess: each way of writing it counts 2 * 5 * 6 * 4 = {product} operations, in batches of 2")
print(f"       {2 * product}: the work and the result are the same.")
print(f"Seen:  torch.addmm            {functional}")
print(f"       torch.addmm(out=...)   {out}")
print(f"       Tensor.addmm_          {inplace}   (same result: {same})")
print(f"       Tensor.baddbmm_        {batched}   (a batch of 2)")
print("The counter knows operators by name and has no formula for the in-place names, so a")
print("gradient that is accumulated in place is in no count, and no warning says so.")
as_described = same and (functional, out, inplace, batched) == (product, product, 0, 0)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
