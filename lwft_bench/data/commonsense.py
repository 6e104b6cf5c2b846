"""The generated commonsense task: what follows from what people do with things, without numbers.

| benchmark      | in the shape of   | what it asks for                               | choices |
|----------------|-------------------|------------------------------------------------|---------|
| `yes-or-no`    | BoolQ             | whether someone has more or fewer then         | 2       |
| `who-has-more` | SIQA, WinoGrande  | which of two people has more or fewer then     | 2       |
| `what-fits`    | PIQA, OpenBookQA  | a person, a thing or a container               | 3       |
| `how-it-ends`  | HellaSwag         | the ending that is neither false nor absurd    | 4       |

It is made of words that the embedded model knows: a small task of another kind than arithmetic, and
no measure of common sense. An example is "Question: ...\\nAnswer:" with the target " The answer is
Tom"; endings are " Then Tom has more apples". Training and test share neither wordings nor verbs
(`commonsense_templates`) nor casts: a set of people, things and containers belongs to one split
(`split_of`). Everything is a function of the seed, in every Python process.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from random import Random

from lwft_bench.data.commonsense_templates import TEST, TRAINING, Wording
from lwft_bench.data.examples import Example, Item
from lwft_bench.data.lexicon import CONTAINERS, PEOPLE, THINGS

BENCHMARKS = tuple(sorted(TEST))
ENDINGS = "how-it-ends"

TEST_SEED = 438_357_618
"""Drawn once, after the generator was frozen; whoever changes the generator draws another."""


def training_examples(count: int, seed: int) -> list[Example]:
    """`count` examples of all four shapes, drawn with equal probability."""
    return list(itertools.islice(_examples("training", seed), count))


def validation_examples(count: int, seed: int) -> list[Example]:
    """As `training_examples`: the same wordings with casts that no other split has."""
    return list(itertools.islice(_examples("validation", seed), count))


def benchmark_items(benchmark: str, count: int, seed: int = TEST_SEED) -> list[Item]:
    """The first `count` test items of a benchmark for this seed; no two have the same prompt."""
    rng = _rng(f"test {benchmark}", seed)
    items: dict[str, Item] = {}
    while len(items) < count:
        wording = rng.choice(TEST[benchmark])
        prompt, answer, wrong = _draw(rng, benchmark, wording, "test")
        choices = [answer, *wrong]
        rng.shuffle(choices)
        if prompt not in items:
            identifier = f"{benchmark}-{len(items)}"
            items[prompt] = Item(identifier, prompt, answer, tuple(choices), cluster=wording[0])
    return list(items.values())


def split_of(cast: tuple[str, ...]) -> str:
    """The only split in which these words occur together: training, validation or test.

    Their order does not count: who gives to whom cannot be looked up.
    """
    digest = hashlib.sha256(" ".join(sorted(cast)).encode()).digest()
    return ("test", "test", "validation", *["training"] * 5)[digest[0] % 8]


def _examples(split: str, seed: int) -> Iterator[Example]:
    rng = _rng(split, seed)
    while True:
        benchmark = rng.choice(BENCHMARKS)
        prompt, answer, _ = _draw(rng, benchmark, rng.choice(TRAINING[benchmark]), split)
        yield Example(prompt, answer)


def _rng(purpose: str, seed: int) -> Random:
    """A stream of its own for each purpose; the same in every process and Python version."""
    digest = hashlib.sha256(f"commonsense {purpose} {seed}".encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def _draw(
    rng: Random, benchmark: str, wording: Wording, split: str
) -> tuple[str, str, tuple[str, ...]]:
    """Prompt, answer and wrong answers: the wording with a cast of the given split."""
    text, answer, wrong = wording
    before = "Then" if benchmark == ENDINGS else "The answer is"
    while True:
        slots = _slots(rng)
        cast = tuple(word for slot, word in slots.items() if f"{{{slot}}}" in text)
        if split_of(cast) == split:
            break
    return (
        f"Question: {text.format(**slots)}\nAnswer:",
        f" {before} {answer.format(**slots)}",
        tuple(f" {before} {other.format(**slots)}" for other in wrong),
    )


def _slots(rng: Random) -> dict[str, str]:
    """Different people a and b, things t and u, containers k and l."""
    containers = [singular for singular, _ in CONTAINERS]
    groups = (("ab", PEOPLE), ("tu", THINGS), ("kl", containers))
    return {
        slot: word
        for slots, words in groups
        for slot, word in zip(slots, rng.sample(words, 2), strict=True)
    }
