"""This trainer beside others, by turns, each in a process of its own, on the same ragged batches.

    LWFT_BENCH_DATA=FOLDER python benchmarks/peers/compare.py

makes an environment of its own with the trainers (once; `--env` says where), measures, and writes
results.md, turns.csv and about.json beside this file. FOLDER has, somewhere below it, LLM-Adapters'
`mawps/trainset.json` and GSM8K's `gsm8k/train.jsonl`. About ten minutes where two CPU cores have nothing
else to do.

Trainers make one step each in a round, A B C, then C B A, ten rounds; while one has its turn the others
wait for a line on their standard input. `python -m benchmarks.peers.page FOLDER` writes the table again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.peers.peers import APART, PEERS  # noqa: E402
from benchmarks.peers.sizes import SIZES  # noqa: E402

CONSTRAINTS = ROOT / "constraints.txt"
FILES = (HERE / "requirements.txt", HERE / "torchtune.txt", CONSTRAINTS)


def made_environment(folder: Path) -> Path:
    """Its python; made anew where what is asked for has changed."""
    python = folder / "bin" / "python"
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in FILES)).hexdigest()
    marker = folder / "made-from"
    if marker.is_file() and marker.read_text(encoding="utf-8") == digest:
        return python
    print(f"making {folder}: some minutes", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    _run([*pip, "-c", str(CONSTRAINTS), "-r", str(FILES[0]), "-e", str(ROOT)])
    # Where it does not install, the table says so in its place.
    apart = ["--no-deps", "--target", str(folder / APART)]
    subprocess.run([*pip, *apart, "-r", str(FILES[1])], check=False)
    marker.write_text(digest, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    if done := subprocess.run(command, check=False).returncode:
        raise SystemExit(done)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", type=Path, default=HERE / ".venv", help="its environment")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder of what it writes")
    parser.add_argument("--pairs", type=int, default=10, help="rounds")
    parser.add_argument("--steps", type=int, default=1, help="steps of a turn")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    python = made_environment(options.env.absolute())
    words = [str(python), "-m", "benchmarks.peers.driver", "--out", str(options.out.absolute())]
    words += ["--pairs", str(options.pairs), "--steps", str(options.steps)]
    words += ["--sizes", *options.sizes, "--peers", *options.peers]
    os.chdir(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    os.execv(python, words)


if __name__ == "__main__":
    main()
