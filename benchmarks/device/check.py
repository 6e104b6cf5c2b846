"""Everything that a device can show, in nine minutes: memory, streaming, time, scores.

Needs no network and no model: weights are random or ship with the package. What is missing is skipped,
and says why. Each stage runs in a process of its own and is ended at its limit; check.json and check.md
are written after each, so that a cut-off loses one stage. docs/device.md says what is checked.

    python benchmarks/device/check.py --out device-check

`--rehearse` runs every stage on the CPU, with tiny shapes: it shows that the script works, and nothing
about a device.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.device.page import page  # noqa: E402
from benchmarks.device.processes import PATIENCE, Options, Outcome, outcomes  # noqa: E402
from benchmarks.device.stages import SECONDS, STAGES, Stage  # noqa: E402
from lwft_bench.results.atomic import write_json_atomic, write_text_atomic  # noqa: E402


def check(stages: tuple[Stage, ...], options: Options) -> bool:
    """Runs the stages and writes what they find; whether nothing has failed."""
    options.out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "rehearsal": options.rehearse,
        "device": options.device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "stages": [],
    }
    passed = True
    for outcome in outcomes(stages, options):
        document["stages"].append(outcome.as_json())
        write_json_atomic(options.out / "check.json", document)
        write_text_atomic(options.out / "check.md", page(document))
        bad = failures(outcome)
        passed &= not bad
        print(
            f"{outcome.status:8} {outcome.name} ({outcome.seconds:.0f} s) {outcome.why}", flush=True
        )
        for line in bad:
            print(f"         {line}", flush=True)
    print(f"written to {options.out / 'check.md'} and check.json")
    return passed


def failures(outcome: Outcome) -> list[str]:
    """What is to be looked at. A skip is none."""
    found = [outcome.why] if outcome.status in ("died", "overran") else []
    for row in outcome.rows:
        if row.get("passed") is False or "failed" in row:
            found.append(
                f"{row['table']}: {row['what']}: {row.get('failed', 'NOT as it should be')}"
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("device-check"))
    parser.add_argument("--device", help="as torch names it; cuda where nothing else is said")
    parser.add_argument("--seconds", type=float, help=f"of the whole; {SECONDS:.0f} on a device")
    parser.add_argument("--planners", type=int, default=4, help="processes that plan meanwhile")
    parser.add_argument("--only", nargs="+", choices=[s.name for s in STAGES], help="these stages")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny shapes")
    told = parser.parse_args()
    # A polite end, too, must end the stage that is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    stages = tuple(s for s in STAGES if s.required or not told.only or s.name in told.only)
    device = told.device or ("cpu" if told.rehearse else "cuda")
    planners = min(told.planners, 1) if told.rehearse else told.planners
    seconds = told.seconds or SECONDS * (PATIENCE if told.rehearse else 1)
    options = Options(told.out, device, told.rehearse, seconds, planners)
    sys.exit(0 if check(stages, options) else 1)


if __name__ == "__main__":
    main()
