"""The wordings of the generated commonsense task.

A wording is the text of the question, the right answer, and wrong ones. `{a}`, `{b}` are people,
`{t}`, `{u}` things, `{k}`, `{l}` containers. All words are known to the embedded model; there are no
numbers. The splits share no wording, and no verb of an event: training says `finds`, `buys`,
`gives`, `loses`, the test `picks`, `gets`, `sells`, `breaks`. That selling leaves one with fewer is
known from pretraining or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

Wording = tuple[str, str, tuple[str, ...]]
_Event = tuple[str, str]
"""What happens, and what {a} has more or fewer of it then: "more" or "fewer"."""
Exchange = tuple[str, str, str]
"""What happens between two people, who has more then, and who has fewer."""

_OPPOSITE = {"more": "fewer", "fewer": "more"}


def _yes_or_no(events: Iterable[_Event]) -> tuple[Wording, ...]:
    answers = {"more": ("Yes", ("No",)), "fewer": ("No", ("Yes",))}
    return tuple(
        (f"{text} Is it more {{t}} that {{a}} has now?", *answers[change])
        for text, change in events
    )


def _who_has_more(exchanges: Iterable[Exchange]) -> tuple[Wording, ...]:
    return tuple(
        (f"{text} What friend has more {{t}} now?", more, (fewer,))
        for text, more, fewer in exchanges
    )


def _endings(events: Iterable[_Event]) -> tuple[Wording, ...]:
    return tuple(
        (
            f"{text} What then?",
            f"{{a}} has {change} {{t}}",
            (
                f"{{a}} has {_OPPOSITE[change]} {{t}}",
                f"the {{t}} have {change} {{a}}",
                f"the {{t}} have {_OPPOSITE[change]} {{a}}",
            ),
        )
        for text, change in events
    )


_TRAINING_EVENTS: tuple[_Event, ...] = (
    ("{a} finds {t}.", "more"),
    ("{a} found many {t}.", "more"),
    ("{a} buys {t}.", "more"),
    ("{a} bought {t} and {u}.", "more"),
    ("{b} gives {t} to {a}.", "more"),
    ("{b} gave {a} many {t}.", "more"),
    ("{a} loses {t}.", "fewer"),
    ("{a} lost many {t}.", "fewer"),
    ("{a} loses {t} and {u}.", "fewer"),
    ("{a} lost the {t} that {b} wants.", "fewer"),
    ("{a} gives {t} to {b}.", "fewer"),
    ("{a} gave {b} many {t}.", "fewer"),
)
_TEST_EVENTS: tuple[_Event, ...] = (
    ("{a} picks {t}.", "more"),
    ("{a} picked {t} and {u}.", "more"),
    ("{a} gets {t} from {b}.", "more"),
    ("{a} got many {t}.", "more"),
    ("{a} takes {t} from {b}.", "more"),
    ("{a} sells {t}.", "fewer"),
    ("{a} sold many {t} to {b}.", "fewer"),
    ("{a} breaks {t}.", "fewer"),
    ("{a} broke {t} and {u}.", "fewer"),
    ("{b} took {t} from {a}.", "fewer"),
)

TRAINING: dict[str, tuple[Wording, ...]] = {
    "yes-or-no": _yes_or_no(_TRAINING_EVENTS),
    "who-has-more": _who_has_more(
        (
            ("{a} gives {t} to {b}.", "{b}", "{a}"),
            ("{a} gave {b} many {t}.", "{b}", "{a}"),
            ("{a} buys {t} from {b}.", "{a}", "{b}"),
            ("{a} bought the {t} of {b}.", "{a}", "{b}"),
            ("{a} found the {t} that {b} lost.", "{a}", "{b}"),
            ("{a} lost {t} and {b} found {t}.", "{b}", "{a}"),
            ("{a} finds {t} and {b} loses {t}.", "{a}", "{b}"),
            ("{a} loses {t} and {b} buys {t}.", "{b}", "{a}"),
        )
    ),
    "what-fits": (
        ("What does {a} put the {t} into?", "the {k}", ("the {u}", "{b}")),
        ("What holds the {t} of {a}?", "the {k}", ("the {u}", "{b}")),
        ("The {t} are not on the table. What are they in?", "the {k}", ("the {u}", "{a}")),
        ("{a} puts things into the {k}. What does {a} put into it?", "the {t}", ("the {l}", "{b}")),
        ("What does {a} find in the {k}?", "the {t}", ("the {l}", "{b}")),
        ("{a} pays coins. What does {a} get for them?", "the {t}", ("the day", "{b}")),
        ("{a} gives {t} to a friend. What friend gets them?", "{b}", ("the {k}", "the {u}")),
        ("What friend has the {t} in the {k}?", "{a}", ("the {l}", "the {u}")),
    ),
    "how-it-ends": _endings(_TRAINING_EVENTS),
}
TEST: dict[str, tuple[Wording, ...]] = {
    "yes-or-no": _yes_or_no(_TEST_EVENTS),
    "who-has-more": _who_has_more(
        (
            ("{a} sells {t} to {b}.", "{b}", "{a}"),
            ("{a} gets {t} from {b}.", "{a}", "{b}"),
            ("{a} took the {t} of {b}.", "{a}", "{b}"),
            ("{a} sold {t} and {b} picked {t}.", "{b}", "{a}"),
            ("{a} picks {t} and {b} breaks {t}.", "{a}", "{b}"),
            ("{a} broke {t} and {b} got {t}.", "{b}", "{a}"),
        )
    ),
    "what-fits": (
        ("{a} wants to put {t} in. What does {a} need?", "the {k}", ("the {u}", "{b}")),
        ("What did {a} get the {t} out of?", "the {k}", ("the {u}", "{b}")),
        ("There are {t} in it. What is it?", "the {k}", ("the {u}", "{a}")),
        ("What is in the {k} of {a}?", "the {t}", ("the {l}", "{b}")),
        ("{a} sells what is in the {k}. What is it?", "the {t}", ("the {l}", "{b}")),
        ("{a} asks a friend. What friend is it?", "{b}", ("the {k}", "the {t}")),
        ("What friend took {t} out of the {k}?", "{a}", ("the {l}", "the {u}")),
    ),
    "how-it-ends": _endings(_TEST_EVENTS),
}
