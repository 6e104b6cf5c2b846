"""Instructions as the texts a model reads: the two profiles of a task.

`published` is what LLM-Adapters does (Hu et al. 2023, arXiv 2304.01933; AGI-Edgerunners/LLM-Adapters
at commit 81665720, Apache-2.0): its two templates, whitespace included, differ between training and
evaluation. `clean` has one template for both, and no whitespace at the boundary but one newline; or
none here, where the model's chat template is used instead.
"""

from __future__ import annotations

from lwft_bench.data.chat_template import Conversation
from lwft_bench.data.examples import Example
from lwft_bench.data.forms import Instruction
from lwft_bench.schema.cell import Profile

_TASK = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
_INDENT = " " * 16
PUBLISHED_TRAINING = (
    f"{_TASK}  \n\n{_INDENT}### Instruction:\n{_INDENT}{{}}\n{_INDENT}\n{_INDENT}### Response:\n"
)
"""finetune.py's. The 16 spaces before the response belong to what is learnt: there the tokenizer
sees them together with the response's first word."""
PUBLISHED_EVALUATION = (
    f"{_TASK} \n\n{_INDENT}### Instruction:\n{_INDENT}{{}}\n\n{_INDENT}### Response:\n{_INDENT}"
)
"""That of evaluate.py and commonsense_evaluate.py."""
CLEAN = "### Instruction:\n{}\n\n### Response:\n"


def prompt(row: Instruction, profile: Profile, *, chat: bool = False) -> str:
    """What the model is given when it is evaluated."""
    if chat:
        return _with_input(row)
    if profile == "published":
        return PUBLISHED_EVALUATION.format(row.instruction)
    return CLEAN.format(_with_input(row))


def example(row: Instruction, profile: Profile, *, chat: bool = False) -> Example:
    """What the model is trained on."""
    question = row.question
    if chat:
        return Conversation(_with_input(row), row.output.strip(), question, row.messages)
    if profile == "published":
        return Example(PUBLISHED_TRAINING.format(row.instruction), _INDENT + row.output, question)
    return Example(CLEAN.format(_with_input(row)), row.output.strip(), question)


def _with_input(row: Instruction) -> str:
    return "\n\n".join(part.strip() for part in (row.instruction, row.input) if part.strip())
