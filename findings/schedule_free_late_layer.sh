#!/bin/sh
# schedulefree's AdamW counts steps, and sums what it averages by, once for a parameter group and not for
# each parameter. A layer that is unfrozen late goes by the count of the others: its second moment lacks
# the correction of bias, so its first steps are too large, and its average begins as if it were old.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 schedulefree==1.4.1
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""How far a weight moves under a gradient of 1, from the start and unfrozen after 1,000 steps."""

import platform
import sys
from importlib.metadata import version

import torch
from schedulefree import AdamWScheduleFree
from torch import nn

LR, LATE, STEPS = 1e-3, 1000, 100


def layer() -> nn.Parameter:
    return nn.Parameter(torch.zeros(4))


def moved(
    first: nn.Parameter, second: nn.Parameter, optimizer: torch.optim.Optimizer
) -> list[float]:
    """How far the second moved, in learning rates: in the first step, in STEPS, and then to evaluate.

    The first two are of the sequence beneath the weights, z, where the optimizer has one.
    """
    found = []
    for step in range(STEPS):
        first.grad, second.grad = torch.ones(4), torch.ones(4)
        optimizer.step()
        if step in (0, STEPS - 1):
            found.append(optimizer.state[second].get("z", second).mean().item())
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return [-way / LR for way in (*found, second.mean().item())]


def from_the_start(make) -> list[float]:
    first, second = layer(), layer()
    return moved(first, second, make([first, second]))


def unfrozen(make, groups: str) -> list[float]:
    first, second = layer(), layer()
    known = {"one": [first, second], "two": [{"params": [first]}, {"params": [second]}]}
    optimizer = make(known.get(groups, [first]))
    for _ in range(LATE):
        first.grad = torch.ones(4)  # the second is frozen and has no gradient
        optimizer.step()
    assert not second.any()
    if groups == "added":
        optimizer.add_param_group({"params": [second]})
        optimizer.train()  # the new group is not in that mode, and no step says so
    return moved(first, second, optimizer)


def schedule_free(parameters) -> torch.optim.Optimizer:
    optimizer = AdamWScheduleFree(parameters, lr=LR)
    optimizer.train()
    return optimizer


def adamw(parameters) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)


print(
    f"Python {platform.python_version()}, torch {torch.__version__}, "
    f"schedulefree {version('schedulefree')}"
)
print("A gradient of 1 at every step; how far weights move, in learning rates. Schedule-free moves z;")
print("the weights to evaluate are an average of it.")
print("Guess: state begins with a parameter's first gradient: a layer unfrozen late trains as new.")
rows = {
    "torch's AdamW, from the start": from_the_start(adamw),
    f"torch's AdamW, unfrozen after {LATE} steps": unfrozen(adamw, "one"),
    "schedule-free, from the start": from_the_start(schedule_free),
    f"schedule-free, unfrozen after {LATE} steps": unfrozen(schedule_free, "one"),
    "  in a parameter group of its own": unfrozen(schedule_free, "two"),
    "  in a group that is added then": unfrozen(schedule_free, "added"),
}
for name, (step, far, judged) in rows.items():
    print(f"Seen:  {name}: {step:.1f} in a step, {far:.0f} in {STEPS}; to evaluate: {judged:.0f}")
plain, plain_late, fresh, late, own, added = rows.values()


def near(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) < 1e-3 * abs(b) for a, b in zip(one, other, strict=True))


as_described = (
    near(plain, plain_late)
    and near(added, fresh)
    and near(late, own)
    and late[0] > 20 * fresh[0]
    and late[1] > 3 * fresh[1]
    and late[2] < 0.75 * fresh[2]
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
status=0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/check.py" || status=1
exit "$status"
