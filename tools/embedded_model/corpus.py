"""The generated text that the embedded model is pretrained on.

Arithmetic facts, short stories in which things are counted, and plain sentences. A story may state
one equation after its events; no document asks a question and answers it with a chain of equations,
which is what fine-tuning on the arithmetic task has to teach.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from lwft_bench.data.lexicon import CONTAINERS, PEOPLE, THINGS

MAX_NUMBER = 99
OPERATION_WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}

GAINS = (
    "{a} finds {y} more {t}.", "{a} found {y} {t}.", "{b} gives {a} {y} more {t}.",
    "{b} gave {a} {y} {t}.", "{a} buys {y} more {t}.", "{a} bought {y} {t}.",
    "{a} picks {y} {t}.", "{a} picked {y} more {t}.", "{a} gets {y} {t}.", "{a} got {y} more {t}.",
    "{a} takes {y} {t} from {b}.", "Then {a} found {y} more.", "Then {a} buys {y} more.",
)  # fmt: skip
LOSSES = (
    "{a} gives {y} {t} to {b}.", "{a} gave {y} of them to {b}.", "{a} loses {y} {t}.",
    "{a} lost {y} of them.", "{a} sells {y} {t}.", "{a} sold {y} of them.", "{a} breaks {y} {t}.",
    "{a} broke {y} of them.", "{b} takes {y} {t} from {a}.", "{b} took {y} of them.",
    "Then {a} gives {y} to {b}.", "Then {a} sold {y} {t}.", "Then {a} lost {y}.",
)  # fmt: skip
PLAIN = (
    "{a} and {b} are friends.", "{a} is at home.", "Is {a} at home? Yes, {a} is.",
    "The {box} is red.", "The {box} is on the table.", "{a} likes blue {t}.",
    "What is in the {box}? There are {t} in it.", "{a} thinks of a number.",
    "{a} asks {b} how many {t} are left.", "The letter n is small.", "A question has an answer.",
    "{a} wants big {t}.", "{a} does not need {t}.", "{b} did not have {t} before.",
    "What does {a} want? {a} wants {t}.", "They do what {a} does.", "{a} holds a small {box}.",
    "Question the plan, {a}.", "Answer the letter, {a}.", "The answer is short: no.",
    "How is {a}? {a} is well.", "How many friends has {a}? Many.", "If {a} is here, {b} is too.",
    "Each day {a} finds a friend.", "{a} spends a day with {b}.", "The rest of the {t} are red.",
    "They find {t} and then they put them together.", "{a} does not pay if {b} does.",
    "{a} and {b} get {t}, then they pay.", "Is it a number if it is a letter? No.",
    "{a} shares the {t} equally.", "The letters: a, b, n.\nThe {boxes}: red, blue.",
)  # fmt: skip

ASIDES = (
    "{c} asks how many {t} there are.", "{c} wants to know how many {t} that makes.",
    "{b} asks how many {t} {a} has now.", "{c} counts the {t}.", "How many {t} is a good question.",
    "{c} is at home.", "{c} likes blue {t}.", "How many it is, {c} does not know.",
)  # fmt: skip
"""What may stand between the events of a story and the equation that sums them up."""

STORIES: dict[str, tuple[tuple[str, str], ...]] = {
    "+": (
        ("{a} has {x} {t}. {b} has {y} {t}.", "Together they have {r} {t}."),
        ("{a} found {x} {t} and {b} found {y}.", "They found {r} {t} in total."),
        ("{a} has {x} {t} and {y} {u}.", "{a} has {r} things altogether."),
        ("There are {x} red {t} and {y} blue {t}.", "There are {r} {t} in total."),
        ("There are {x} big {t} and {y} small {t}.", "Altogether there are {r} {t}."),
        ("{a} has {x} {t}. {b} has {y} more {t} than {a}.", "{b} has {r} {t}."),
        ("There were {x} {t} in the {box}. {a} puts {y} more {t} in it.", "Now it holds {r} {t}."),
        ("{a} lost {x} {t} and now has {y}.", "Before that {a} had {r} {t}."),
        ("{a} has {x} {t} and {b} has {y}. {c} asks how many they have together.", "It is {r}."),
        ("{a} found {x} {t}. {b} found {y} more than {a}.", "{b} found {r} {t}."),
    ),
    "-": (
        ("{a} has {x} {t}. {b} has {y} fewer {t} than {a}.", "{b} has {r} {t}."),
        ("{a} has {x} {t} and {b} has {y} {t}.", "{a} has {r} more {t} than {b}."),
        ("{a} wants {x} {t} and has {y}.", "{a} needs {r} more {t}."),
        ("There were {x} {t} in the {box}. {a} took out {y} of them.", "Now {r} {t} are left."),
        ("{a} had {x} coins and spent {y} coins.", "{r} coins are left."),
        ("{a} found {y} {t} and now has {x}.", "Before that {a} had {r} {t}."),
        ("{a} has {x} {t} and {b} has {y}. {c} asks how many more {a} has.", "It is {r}."),
        ("{a} gave {y} {t} to {b}. {a} had {x} {t} before.", "Now {a} has {r} {t}."),
        ("{a} lost {y} {t}. Before that {a} had {x} {t}.", "Now {r} {t} are left."),
    ),
    "*": (
        ("There are {x} {boxes} with {y} {t} in each {box}.", "There are {r} {t} in total."),
        ("{a} has {x} {boxes}. Each {box} holds {y} {t}.", "{a} has {r} {t}."),
        ("{a} buys {x} {t} for {y} coins each.", "{a} pays {r} coins."),
        ("{a} sells {x} {t}. Each costs {y} coins.", "{a} gets {r} coins."),
        ("{a} bought {x} {t}. Each cost {y} coins.", "The {t} cost {r} coins."),
        ("{a} has {x} {t}. {b} has {y} times as many {t}.", "{b} has {r} {t}."),
        ("{a} finds {x} {t} each day for {y} days.", "{a} has {r} {t}."),
    ),
    "/": (
        ("{a} puts {x} {t} into {y} {boxes} equally.", "There are {r} {t} in each {box}."),
        ("{a} shares {x} {t} equally among {y} friends.", "Each friend gets {r} {t}."),
        ("There are {x} {t} in {y} {boxes}, equally.", "Each {box} holds {r} {t}."),
        ("{y} friends share {x} {t}.", "Each friend gets {r}."),
        ("{a} pays {x} coins for {y} {t}.", "Each costs {r} coins."),
    ),
}


def documents(seed: int) -> Iterator[str]:
    """An endless stream of documents, the same for the same seed."""
    rng = Random(seed)
    kinds = (_facts, _worded_facts, _changes, _story, _two_things, _three_people, _plain)
    weights = (20, 5, 25, 25, 12, 6, 7)
    while True:
        yield rng.choices(kinds, weights)[0](rng)


def _operands(rng: Random, operation: str) -> tuple[int, int, int]:
    """Operands and result of one fact: whole numbers from 1 to MAX_NUMBER, nothing negative."""
    limit = rng.choice((12, 30, MAX_NUMBER, MAX_NUMBER))
    if operation in "+-":
        total = rng.randint(2, limit)
        part = rng.randint(1, total - 1)
        return (part, total - part, total) if operation == "+" else (total, part, total - part)
    first = rng.randint(2, 33)
    second = rng.randint(2, min(MAX_NUMBER // first, 12))
    if rng.random() < 0.5 and first <= 12:
        first, second = second, first
    product = first * second
    return (first, second, product) if operation == "*" else (product, second, first)


def _facts(rng: Random) -> str:
    """A list of facts; in some lists each fact goes on from the result of the one before."""
    linked = rng.random() < 0.4
    facts: list[str] = []
    result = 0
    for _ in range(rng.randint(2, 6)):
        if linked and facts:
            left = result
            operation, right, result = _change_of(rng, left)
        else:
            operation = rng.choices("+-*/", (4, 4, 2, 2))[0]
            left, right, result = _operands(rng, operation)
        facts.append(f"{left} {operation} {right} = {result}")
    return rng.choice((". ", ". ", "\n")).join(facts) + "."


def _change_of(rng: Random, left: int) -> tuple[str, int, int]:
    """Operation, right operand and result of a fact whose left operand is given."""
    facts = []
    if left > 1:
        right = rng.randint(1, left - 1)
        facts.append(("-", right, left - right))
    if left < MAX_NUMBER:
        right = rng.randint(1, MAX_NUMBER - left)
        facts.append(("+", right, left + right))
    if left * 2 <= MAX_NUMBER:
        right = rng.randint(2, min(12, MAX_NUMBER // left))
        facts.append(("*", right, left * right))
    if divisors := [divisor for divisor in range(2, 13) if left % divisor == 0]:
        right = rng.choice(divisors)
        facts.append(("/", right, left // right))
    return rng.choice(facts)


def _worded_facts(rng: Random) -> str:
    facts = []
    for _ in range(rng.randint(1, 3)):
        operation = rng.choice("+-*/")
        left, right, result = _operands(rng, operation)
        form = rng.choice(
            (
                f"{left} {OPERATION_WORDS[operation]} {right} is {result}.",
                f"If n is {left}, n {operation} {right} is {result}.",
                f"The number {left} {OPERATION_WORDS[operation]} {right} is {result}.",
                f"{max(left, right)} is {abs(left - right)} more than {min(left, right)}.",
            )
        )
        facts.append(form)
    return " ".join(facts)


def _fillers(rng: Random) -> dict[str, str]:
    a, b, c = rng.sample(PEOPLE, 3)
    t, u = rng.sample(THINGS, 2)
    box, boxes = rng.choice(CONTAINERS)
    return {"a": a, "b": b, "c": c, "t": t, "u": u, "box": box, "boxes": boxes}


def _equation(
    rng: Random, words: dict[str, str], left: int, operation: str, right: int, result: int
) -> str:
    """In two of three cases the equation of the last event, often after an aside."""
    if rng.random() < 0.33:
        return ""
    aside = rng.random() < 0.5
    before = f" {rng.choice(ASIDES).format(**words)}" if aside else ""
    separator = "\n" if aside and rng.random() < 0.5 else " "
    return f"{before}{separator}{left} {operation} {right} = {result}."


def _changes(rng: Random) -> str:
    """Somebody has things; things come and go; now and then the text says how many there are."""
    words = _fillers(rng)
    number = rng.randint(2, 60)
    text = "{a} {has} {x} {t}.".format(has=rng.choice(("has", "had")), x=number, **words)
    for _ in range(rng.randint(1, 3)):
        gain = number < 3 or (number < MAX_NUMBER - 10 and rng.random() < 0.5)
        change = rng.randint(1, min(60, MAX_NUMBER - number) if gain else number - 1)
        result = number + change if gain else number - change
        text += " " + rng.choice(GAINS if gain else LOSSES).format(y=change, **words)
        text += _equation(rng, words, number, "+" if gain else "-", change, result)
        ending = "Now {a} has {r} {t}." if rng.random() < 0.6 or gain else "{r} {t} are left."
        text += " " + ending.format(r=result, **words)
        number = result
    return text


def _story(rng: Random) -> str:
    operation = rng.choices("+-*/", (3, 3, 3, 2))[0]
    left, right, result = _operands(rng, operation)
    opening, ending = rng.choice(STORIES[operation])
    words = _fillers(rng)
    equation = _equation(rng, words, left, operation, right, result)
    if rng.random() < 0.15:
        opening = f"{words['c']} has {rng.randint(2, 60)} {words['u']}. {opening}"
    opening, ending = (
        text.format(x=left, y=right, r=result, **words) for text in (opening, ending)
    )
    return f"{opening}{equation} {ending}"


def _two_things(rng: Random) -> str:
    """Two kinds of things, of which one changes: the other number is not to be used."""
    words = _fillers(rng)
    counts = [rng.randint(2, 60), rng.randint(2, 60)]
    changed = rng.randrange(2)
    gain = counts[changed] < 3 or rng.random() < 0.5
    change = rng.randint(1, MAX_NUMBER - counts[changed] if gain else counts[changed] - 1)
    result = counts[changed] + change if gain else counts[changed] - change
    kind = words["t"] if changed == 0 else words["u"]
    text = "{a} {has} {x} {t} and {y} {u}. ".format(
        has=rng.choice(("has", "had")), x=counts[0], y=counts[1], **words
    )
    words["t"] = kind
    events = [form for form in (GAINS if gain else LOSSES) if "{t}" in form]
    text += rng.choice(events).format(y=change, **words)
    text += _equation(rng, words, counts[changed], "+" if gain else "-", change, result)
    return f"{text} Now {words['a']} has {result} {kind}."


def _three_people(rng: Random) -> str:
    """Three people have things, and two of them are counted together."""
    words = _fillers(rng)
    people = [words["a"], words["b"], words["c"]]
    counts = [rng.randint(2, 45) for _ in people]
    first, second = sorted(rng.sample(range(3), 2))
    left, right = counts[first], counts[second]
    verb = rng.choice(("has", "found", "bought", "picked"))
    text = "{} {verb} {} {t}, {} {verb} {} and {} {verb} {}.".format(
        *(value for pair in zip(people, counts, strict=True) for value in pair),
        verb=verb, t=words["t"],
    )  # fmt: skip
    pair = f"{people[first]} and {people[second]}"
    text += rng.choice(("", f" Count what {pair} have.", f" How many {pair} have is the question."))
    text += rng.choice(("", f" {left} + {right} = {left + right}."))
    return f"{text} {pair} have {left + right} {words['t']} together."


def _plain(rng: Random) -> str:
    words = _fillers(rng)
    return " ".join(form.format(**words) for form in rng.sample(PLAIN, rng.randint(1, 4)))
