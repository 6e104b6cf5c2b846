"""The survey's findings as the table of docs/models.md, and what each class came to."""

from __future__ import annotations

from collections import Counter
from typing import Any

Found = dict[str, Any]

STEPS = ("fft.steps", "lisa.steps")
ENGAGED = ("fft.engaged", "lisa.engaged", "lora.engaged", "fft.bf16")
PLANS = ("plan.float32", "plan.bf16")


def outcome(found: Found) -> str:
    """`right`, `refused: why` (before anything trains) or what is wrong."""
    if "hung" in found or "crashed" in found:
        return f"wrong: {found.get('hung') or found.get('crashed')}"
    trained = str(found.get("fft.engaged", "nothing"))
    if trained.startswith("refused"):
        return trained
    wrong = [
        f"{key} {value}"
        for keys, right in ((ENGAGED, "engaged"), (STEPS, "equal"), (PLANS, "equal"))
        for key in keys
        if key in found or not found.get("quick")
        if not (value := str(found.get(key, "nothing"))).startswith((right, "refused"))
    ]
    if wrong:
        return "wrong: " + "; ".join(wrong)
    return "right in what was tried" if found.get("quick") else "right"


def table(known: dict[str, Found]) -> str:
    rows = [
        "| model type | stack | layers | parts | logits | steps | LoRA | plan | outcome |",
        "|---|---|---:|---|---|---|---:|---|---|",
    ]
    counts: Counter[str] = Counter()
    for name, found in known.items():
        result = outcome(found)
        counts[result.partition(":")[0]] += 1
        model = found.get("model")
        if isinstance(model, dict):
            parts = ", ".join(f"{part} {size:,}" for part, size in model["parts"].items())
            shape = [f"`{model['stack']}`", str(model["layers"]), parts]
        else:
            shape = ["–", "–", "–"]
        rows.append(
            "| "
            + " | ".join(
                [
                    name,
                    *shape,
                    {True: "own", False: "chunked"}.get(found.get("own_logits"), "–"),  # type: ignore[call-overload]
                    _both(found, STEPS),
                    _reach(found),
                    _both(found, PLANS),
                    _short(result),
                ]
            )
            + " |"
        )
    total = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return "\n".join([f"{sum(counts.values())} classes: {total}.", "", *rows])


def _both(found: Found, keys: tuple[str, ...]) -> str:
    values = [str(found.get(key, "–")) for key in keys]
    return values[0] if len(set(values)) == 1 else "; ".join(map(_short, values))


def _reach(found: Found) -> str:
    reach = found.get("lora.reach", "–")
    return f"{100 * reach:.0f} %" if isinstance(reach, float) else _short(str(reach))


def _short(text: str, limit: int = 160) -> str:
    text = text.replace("|", "\\|")
    return text if len(text) <= limit else text[: limit - 1] + "…"
