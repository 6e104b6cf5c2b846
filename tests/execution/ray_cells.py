"""A run of pretended cells on a Ray cluster: `python ray_cells.py ADDRESS OUT STEP_SECONDS FATE...`."""

from __future__ import annotations

import sys
from pathlib import Path

from fake_cells import FakeSuite, run

from lwft_bench.execution.ray_cluster import RayOptions

if __name__ == "__main__":
    address, out, step_seconds, *fates = sys.argv[1:]
    suite = FakeSuite(tuple(fates), step_seconds=float(step_seconds))
    options = RayOptions(address=address, cpus=1)
    sys.exit(run(suite, Path(out), ray=options, needs="fake_cells:needs", stop_seconds=60.0))
