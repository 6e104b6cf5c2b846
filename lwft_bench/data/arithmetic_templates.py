"""The wordings of the generated arithmetic task, one line a wording.

A wording is a pair: the text of the question, and the chain of equations that answers it. In the
text, `{a}`, `{b}`, `{c}` are people, `{t}` and `{u}` things, `{box}` and `{boxes}` a container,
and `{x}`, `{y}`, `{z}`, `{w}` numbers. In the chain the equations are separated by `;`, and `p`
and `q` stand for the results of the first and second.

The two splits share no wording. Their verbs differ too where that is natural (training says
`gave`, `found`, `bought`; the test also says `picked`, `sold`, `broke`), so that the benchmarks
ask for what the pretrained model knows of words and not only for the wordings just trained on.
"""

from __future__ import annotations

Wording = tuple[str, str]

TRAINING: dict[str, tuple[Wording, ...]] = {
    "add-sub": (
        ("{a} has {x} {t}. {b} gives {a} {y} more {t}. How many {t} does {a} have now?", "x + y"),
        ("{a} found {x} {t} and {b} found {y} {t}. How many {t} did they find in total?", "x + y"),
        ("There are {x} {t} in the {box}. {a} puts in {y} more. How many are in it now?", "x + y"),
        ("{a} has {x} {t} and {y} {u}. How many things does {a} have altogether?", "x + y"),
        ("{a} has {x} {t}. {b} has {y} more {t} than {a}. How many does {b} have?", "x + y"),
        ("{a} had {x} {t}. {a} gave {y} {t} to {b}. How many {t} does {a} have now?", "x - y"),
        ("{a} bought {x} {t} and lost {y} of them. How many {t} are left?", "x - y"),
        ("There were {x} {t} in the {box}. {a} took out {y}. How many are left in it?", "x - y"),
        ("{a} has {x} {t}. {b} has {y} fewer {t} than {a}. How many does {b} have?", "x - y"),
        ("{a} wants {x} {t}. {a} has {y} {t}. How many more {t} does {a} need?", "x - y"),
        ("{a} found {y} {t} and now has {x}. How many {t} did {a} have before?", "x - y"),
    ),
    "single-equation": (
        ("There are {x} {boxes} with {y} {t} in each {box}. How many {t} are there?", "x * y"),
        ("{a} buys {x} {t} for {y} coins each. How many coins does {a} pay?", "x * y"),
        ("{a} has {x} {t}. {b} has {y} times as many. How many {t} does {b} have?", "x * y"),
        ("Each {box} holds {y} {t}. How many {t} are in {x} {boxes}?", "x * y"),
        ("{a} puts {x} {t} into {y} {boxes} equally. How many {t} are in each {box}?", "x / y"),
        ("{a} shares {x} {t} among {y} friends. How many {t} does each friend get?", "x / y"),
        ("{a} pays {x} coins for {y} {t}. How many coins does each cost?", "x / y"),
        ("{a} has {x} coins. {a} spends {y} coins. How many coins are left?", "x - y"),
        ("There are {x} red {t} and {y} blue {t}. How many {t} are there in total?", "x + y"),
    ),
    "multi-step": (
        ("{a} had {x} {t}. {a} gave {y} to {b} and then found {z}. How many does {a} have now?",
         "x - y; p + z"),
        ("{a} had {x} {t}. {a} bought {y} more and lost {z}. How many {t} are left?",
         "x + y; p - z"),
        ("{a} found {x} {t}, {b} found {y} and {c} found {z}. How many did they find in total?",
         "x + y; p + z"),
        ("{a} has {x} {t}. {a} gives {y} to {b} and {z} to {c}. How many {t} are left?",
         "x - y; p - z"),
        ("{a} has {x} {boxes} with {y} {t} in each. {a} lost {z} {t}. How many {t} are left?",
         "x * y; p - z"),
        ("There are {x} {boxes} with {y} {t} in each and {z} more {t}. How many {t} are there?",
         "x * y; p + z"),
        (("{a} has {x} {t} and finds {y} more. {a} puts them into {z} {boxes} equally. "
         "How many are in each {box}?"), "x + y; p / z"),
        ("{a} had {x} {t} and lost {y}. {z} friends share the rest. How many does each friend get?",
         "x - y; p / z"),
    ),
    "grade-school": (
        (("{a} buys {x} {t} for {y} coins each and {z} {u} for {w} coins each. "
         "How many coins does {a} pay in total?"), "x * y; z * w; p + q"),
        (("{a} has {x} {t}. {b} has {y} more {t} than {a}. {c} has {z} fewer than {b}. "
         "How many {t} does {c} have?"), "x + y; p - z"),
        ("{a} has {x} coins. {a} buys {y} {t} for {z} coins each. How many coins are left?",
         "y * z; x - p"),
        (("{a} has {x} {boxes} with {y} {t} in each. {a} gives {z} {t} to {b} and finds {w} {t}. "
         "How many {t} does {a} have now?"), "x * y; p - z; q + w"),
        ("{a} has {x} {t}. {b} has {y} times as many. How many {t} do they have together?",
         "x * y; x + p"),
        (("{a} had {x} {t} and bought {y}. {a} gave {z} to {b} and shares the rest among {w} "
         "friends. How many {t} does each friend get?"), "x + y; p - z; q / w"),
        ("{a} finds {x} {t} each day for {y} days. Then {a} loses {z}. How many {t} are left?",
         "x * y; p - z"),
    ),
    "algebra-choice": (
        ("If n + {x} = {y}, what is n?", "y - x"),
        ("If n - {x} = {y}, what is n?", "y + x"),
        ("If {x} * n = {y}, what is n?", "y / x"),
        ("If n / {x} = {y}, what is n?", "y * x"),
        ("If {x} * n + {y} = {z}, what is n?", "z - y; p / x"),
        ("If {x} * n - {y} = {z}, what is n?", "z + y; p / x"),
        ("If n / {x} + {y} = {z}, what is n?", "z - y; p * x"),
        ("A number plus {x} is {y}. What is the number?", "y - x"),
        ("A number minus {x} is {y}. What is the number?", "y + x"),
        ("{x} times a number is {y}. What is the number?", "y / x"),
    ),
    "varied-structure": (
        ("{a} has {x} {t} and {y} {u}. {a} gives {z} {t} to {b}. How many {t} does {a} have now?",
         "x - z"),
        ("{a} has {x} {t} and {y} {u}. {a} gives {z} {u} to {b}. How many {u} does {a} have now?",
         "y - z"),
        ("{a} has {x} {t} and {y} {u}. {a} finds {z} {u}. How many {u} does {a} have now?",
         "y + z"),
        ("{a} has {x} {t} and {y} {u}. {a} finds {z} {t}. How many {t} does {a} have now?",
         "x + z"),
        ("{a} has {x} {t}, {b} has {y} and {c} has {z}. How many do {a} and {b} have together?",
         "x + y"),
        ("{a} has {x} {t}, {b} has {y} and {c} has {z}. How many do {b} and {c} have together?",
         "y + z"),
        ("{a} lost {x} {t}. Before that {a} had {y} {t}. How many {t} are left?", "y - x"),
        ("There are {x} {boxes} with {y} {t} in each. {a} has {z} {u}. How many {t} are there?",
         "x * y"),
    ),
}  # fmt: skip

TEST: dict[str, tuple[Wording, ...]] = {
    "add-sub": (
        ("{a} picked {x} {t}. Then {b} gave {a} {y} {t}. How many {t} does {a} have now?", "x + y"),
        ("{a} has {x} {t} and {b} has {y} {t}. How many {t} do they have in total?", "x + y"),
        ("There are {x} {t} in the {box}. {a} finds {y} more. How many {t} are there now?",
         "x + y"),
        ("{a} had {x} {t} and sold {y} of them. How many {t} are left?", "x - y"),
        ("{a} had {x} {t}. {a} broke {y} of them. How many {t} does {a} have now?", "x - y"),
        ("{a} has {x} {t} and {b} has {y}. How many more {t} does {a} have?", "x - y"),
    ),
    "single-equation": (
        ("{a} has {x} {boxes}. There are {y} {t} in each {box}. How many {t} does {a} have?",
         "x * y"),
        ("{a} bought {x} {t}. Each cost {y} coins. How many coins did {a} pay?", "x * y"),
        ("{a} shares {x} {t} equally among {y} friends. How many does each get?", "x / y"),
        ("There are {x} {t} in {y} {boxes}. How many {t} are in each {box}?", "x / y"),
        ("{a} had {x} coins and spent {y} of them. How many coins are left?", "x - y"),
        ("There are {x} big {t} and {y} small {t}. How many {t} are there altogether?", "x + y"),
    ),
    "multi-step": (
        ("{a} had {x} {t} and sold {y}. Then {a} bought {z} more. How many {t} does {a} have now?",
         "x - y; p + z"),
        ("{a} picked {x} {t} and then {y} more. {a} gave {z} to {b}. How many {t} are left?",
         "x + y; p - z"),
        ("There were {x} {t} in the {box}. {a} took {y} and {b} took {z}. How many are left in it?",
         "x - y; p - z"),
        ("{a} bought {x} {boxes} with {y} {t} in each and sold {z} {t}. How many {t} are left?",
         "x * y; p - z"),
        (("{a} has {x} {t} and {b} has {y}. They put them into {z} {boxes} equally. "
         "How many {t} are in each {box}?"), "x + y; p / z"),
    ),
    "grade-school": (
        (("{a} sells {x} {t} for {y} coins each and {z} {u} for {w} coins each. "
         "How many coins does {a} get in total?"), "x * y; z * w; p + q"),
        ("{a} had {x} coins and bought {y} {t} for {z} coins each. How many coins does {a} have?",
         "y * z; x - p"),
        ("{a} found {x} {t}. {b} found {y} times as many. How many did they find altogether?",
         "x * y; x + p"),
        (("{a} bought {x} {boxes} with {y} {t} in each. {a} sold {z} {t} and then found {w}. "
         "How many {t} are there now?"), "x * y; p - z; q + w"),
        ("{a} picks {x} {t} each day for {y} days and gives {z} to {b}. How many {t} are left?",
         "x * y; p - z"),
    ),
    "algebra-choice": (
        ("What is n if n + {x} = {y}?", "y - x"),
        ("What is n if {x} * n = {y}?", "y / x"),
        ("What is n if {x} * n + {y} = {z}?", "z - y; p / x"),
        ("What is n if {x} * n - {y} = {z}?", "z + y; p / x"),
        ("What is n if n / {x} - {y} = {z}?", "z + y; p * x"),
        ("{a} thinks of a number. The number plus {x} is {y}. What is it?", "y - x"),
        ("{a} thinks of a number. The number minus {x} is {y}. What is it?", "y + x"),
    ),
    "varied-structure": (
        ("{a} has {x} {u} and {y} {t}. {a} sold {z} {t}. How many {t} are left?", "y - z"),
        ("{a} has {x} {t} and {y} {u}. {a} sold {z} {t}. How many {t} are left?", "x - z"),
        ("{a} has {x} {u} and {y} {t}. {a} bought {z} more {t}. How many {t} does {a} have?",
         "y + z"),
        ("{a} found {x} {t}, {b} found {y} and {c} found {z}. How many did {a} and {c} find?",
         "x + z"),
        ("{a} gave {x} {t} to {b}. {a} had {y} {t} before. How many {t} does {a} have now?",
         "y - x"),
        ("{a} has {z} {u}. There are {x} {boxes} with {y} {t} in each {box}. How many {t} are there?",
         "x * y"),
    ),
}  # fmt: skip
