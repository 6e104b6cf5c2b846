"""What becomes of AdamW's second moment by its dtype, as a markdown table.

`python benchmarks/falling_moments.py`: 4,096 elements with a gradient of 1 for 2,000 steps, then of
0.01 for 2,000, by the kernels that training uses, on the CPU. `risen` and `fallen`: the mean second
moment over the right one after each half. `step`: how large the last steps are over what they should be.
"""

from __future__ import annotations

from functools import partial

import torch

from lwft_bench.optimizers.adamw import AdamW
from lwft_bench.optimizers.random_bits import mix
from lwft_bench.state.precision import precision_of, update_slice

SIZE, HALF, SMALL = 4096, 2000, 0.01
BETA2 = AdamW.Options().beta2
ROWS = {
    "float32": ("float32", "float32"),
    "bf16, weights too (torch's fused kernel)": ("bf16", "bf16"),
    "bf16, weights in float32": ("float32", "bf16"),
    "bf16, stochastic rounding": ("float32", "bf16-stochastic"),
}


def second_moments(precision: str, state_dtype: str) -> tuple[float, float]:
    """The mean after each half."""
    policy, rule = precision_of(precision, state_dtype), AdamW(AdamW.Options())
    fields = rule.fields((SIZE,), policy.state)
    state = {field.name: torch.zeros(field.shape, dtype=field.dtype) for field in fields}
    weight, found = torch.ones(SIZE, dtype=policy.weight), []
    for step in range(1, 2 * HALF + 1):
        gradient = torch.full((SIZE,), 1.0 if step <= HALF else SMALL, dtype=policy.weight)
        kernel = partial(rule.update, step=step, lr=1e-6)
        update_slice(policy, kernel, weight, gradient, state, mix(0, step, 0), 0)
        if step % HALF == 0:
            found.append(float(state["exp_avg_sq"].float().mean()))
    return found[0], found[1]


def main() -> None:
    risen = 1 - BETA2**HALF
    fallen = risen * BETA2**HALF + SMALL**2 * (1 - BETA2**HALF)
    print("| moments | risen | fallen | step |")
    print("|---|---:|---:|---:|")
    for label, (precision, state_dtype) in ROWS.items():
        first, last = second_moments(precision, state_dtype)
        print(
            f"| {label} | {first / risen:.2f} | {last / fallen:.2f} | {(fallen / last) ** 0.5:.2f} |"
        )


if __name__ == "__main__":
    main()
