"""Imported by the server process that cells are forked from, never by the command line.

Its children find these modules in place, so that a process of its own costs a cell no imports.
Nothing here may start a thread or touch an accelerator: neither survives a fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import threading
import warnings

MODULES = (
    "torch",
    "transformers",
    "transformers.modeling_utils",
    "transformers.models.llama.modeling_llama",
    "datasets",
    "peft",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
    "lwft_bench.cell.run",
    "lwft_bench.data.arithmetic",
    "lwft_bench.evaluation.language_model",
    "lwft_bench.evaluation.lm_eval_tasks",
    "lwft_bench.execution.worker",
    "lwft_bench.models.gains",
)

with (
    warnings.catch_warnings(),
    contextlib.redirect_stdout(io.StringIO()),
    contextlib.redirect_stderr(io.StringIO()),
):
    warnings.simplefilter("ignore")
    for _name in MODULES:
        # A module that cannot be imported fails again where it is used, in the cell's own row.
        with contextlib.suppress(Exception):
            importlib.import_module(_name)

# Loading any weights compiles the patterns of all models' names. That function is not public: without it
# each cell compiles them.
with contextlib.suppress(Exception):
    importlib.import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("")

# Progress bars share a semaphore between processes, which one that is killed leaves behind: here each
# process has its own bars.
with contextlib.suppress(Exception):
    importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())

# Collections in the children then leave these objects, and the pages they share, alone.
gc.freeze()
