"""Goes on with interrupted runs in a process of its own: `python -m tests.training.go_on FOLDER`.

FOLDER/<card>/<name of the run>/ holds a checkpoint. Prints, as JSON, card -> run -> outcome.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lwft_bench.models.digests import weights_digest
from lwft_bench.schema.method import MethodConfig
from tests.training.small_cards import small_cards
from tests.training.tiny import Run, make_run, training

STEPS = 11
"""2 T_u + 3"""


def start(folder: Path, card: MethodConfig, **options: Any) -> Run:
    """A model with dropout, so that its stream counts too; its maps are none that can be quantised."""
    family = "llama" if card.adapter.name == "qlora" else "gpt2"
    return make_run(folder, card, training(steps=STEPS, **card.training), family, **options)


def outcome(run: Run) -> dict[str, Any]:
    """Trains to the end; what must not depend on where it was stopped."""
    run.trainer.run()
    trace = run.trainer.trace
    return {
        "weights": weights_digest(run.model.named_parameters()),
        "selections": [row.as_json() for row in trace.selections],
        "checksums": [row.as_json() for row in trace.checksums],
        "losses": [row.loss for row in trace.steps],
    }


def main(folder: Path) -> None:
    cards = small_cards()
    outcomes = {
        path.name: {run.name: outcome(start(run, cards[path.name])) for run in path.iterdir()}
        for path in folder.iterdir()
    }
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
