#!/bin/sh
# lm-eval's cache of requests (cache_requests=True) goes by the task's name and not by what the requests
# are made of: with another seed for the few-shot examples, or after the template was edited, a model is
# asked the prompts of the first run, while the results record the new seed and the new template.
# Exit 0: seen as described. 1: it changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' INT TERM
{
    "${PYTHON:-python3}" -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            torch==2.13.0 numpy==2.4.6 transformers==5.23.0 tokenizers==0.23.3 datasets==5.2.0 \
            lm_eval==0.4.13
} || exit 2

cat >"$folder/check.py" <<'PYTHON'
"""The first prompt that lm-eval asks a model that only listens, over seeds and an edit of the task."""

import json
import logging
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import lm_eval
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

FOLDER = Path(sys.argv[1])
TASK = """task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
training_split: train
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "{text}"
doc_to_target: answer
doc_to_choice: [red, green, blue]
metric_list: [{{metric: acc}}]
"""
SEEDS = (1, 2, 3)


class Listener(LM):
    """Answers anything, and keeps what it was asked."""

    tokenizer_name = "none"

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[str] = []

    def loglikelihood(self, requests, **_):
        self.prompts = [request.args[0] for request in requests]
        return [(-1.0, False) for _ in requests]

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        raise NotImplementedError


def write(text: str) -> None:
    (FOLDER / "colours.yaml").write_text(TASK.format(folder=FOLDER, text=text))


def asked(seed: int, cache: bool) -> tuple[str, dict]:
    """The first prompt, and what the results record."""
    model = Listener()
    found = lm_eval.simple_evaluate(
        model,
        tasks=["colours"],
        num_fewshot=2,
        fewshot_random_seed=seed,
        cache_requests=cache,
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(FOLDER)),
        verbosity="ERROR",
    )
    recorded = {
        "seed": found["config"]["fewshot_seed"],
        "text": found["configs"]["colours"]["doc_to_text"],
    }
    return model.prompts[0], recorded


logging.disable(logging.WARNING)
for split, number in (("train", 40), ("test", 4)):
    rows = [{"question": f"{split} {k}", "answer": k % 3} for k in range(number)]
    (FOLDER / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
write("Q: {{question}} A:")
plain = [asked(seed, False) for seed in SEEDS]
cached = [asked(seed, True) for seed in SEEDS]
write("Which colour is {{question}}?")
edited, edited_record = asked(SEEDS[0], True)
without_cache, _ = asked(SEEDS[0], False)

print(f"Python {platform.python_version()}, lm-eval {version('lm_eval')}")
print(
    "Guess: the cache knows requests by what they are made of; another seed or template makes new ones."
)
for (prompt, _), (from_cache, recorded), seed in zip(plain, cached, SEEDS, strict=True):
    print(f"Seen:  seed {seed}: {prompt!r}")
    print(f"       with cache_requests: {from_cache!r}, recorded seed {recorded['seed']}")
print(f"       after an edit of doc_to_text: {without_cache!r}")
print(f"       with cache_requests: {edited!r}, recorded {edited_record['text']!r}")
as_described = (
    len({prompt for prompt, _ in plain}) == len(SEEDS)
    and {prompt for prompt, _ in cached} == {plain[0][0]}
    and [recorded["seed"] for _, recorded in cached] == list(SEEDS)
    and without_cache.startswith("Which colour is")
    and edited == plain[0][0]
    and edited_record["text"].startswith("Which colour is")
)
print("As described." if as_described else "CHANGED: not as described.")
sys.exit(0 if as_described else 1)
PYTHON
mkdir "$folder/task"
status=0
OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_HOME="$folder/hub" \
    LM_HARNESS_CACHE_PATH="$folder/requests" \
    "$folder/venv/bin/python" -W ignore "$folder/check.py" "$folder/task" 2>"$folder/log" || status=1
if [ "$status" -ne 0 ]; then cat "$folder/log" >&2; fi
exit "$status"
