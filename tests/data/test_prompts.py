"""The published templates, byte for byte."""

from __future__ import annotations

from lwft_bench.data.forms import Instruction
from lwft_bench.data.prompts import example, prompt

ROW = Instruction("How {many}?", "\nThree.", "3")
S = " " * 16
TASK = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)


def test_published() -> None:
    assert prompt(ROW, "published") == (
        f"{TASK} \n\n{S}### Instruction:\n{S}How {{many}}?\n\n{S}### Response:\n{S}"
    )
    trained = example(ROW, "published")
    assert trained.prompt + trained.target == (
        f"{TASK}  \n\n{S}### Instruction:\n{S}How {{many}}?\n{S}\n{S}### Response:\n{S}\nThree."
    )


def test_clean_has_one_template() -> None:
    trained = example(ROW, "clean")
    assert prompt(ROW, "clean") == trained.prompt
    assert trained.prompt == "### Instruction:\nHow {many}?\n\n### Response:\n"
    assert trained.target == "Three."
    assert trained.question == "How {many}?"


def test_an_input_follows_the_instruction() -> None:
    row = Instruction("Add.", "5", input="2 and 3")
    assert prompt(row, "clean") == "### Instruction:\nAdd.\n\n2 and 3\n\n### Response:\n"
