from __future__ import annotations

import copy

import pytest
from transformers import PreTrainedTokenizerFast

from lwft_bench.data.chat_template import ChatTemplate, Conversation
from lwft_bench.data.examples import Example, Item, TaskData
from lwft_bench.schema.errors import UserError

TURNS = """{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}\
{{ raise_exception('no tools') }}{% endif %}{{ m.role }}: {{ m.content }}END
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"""


def templated(tokenizer: PreTrainedTokenizerFast, template: str | None) -> PreTrainedTokenizerFast:
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def test_examples_and_items_get_the_same_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    template = ChatTemplate(templated(tokenizer, TURNS))
    example = template.example(Example("1+1?", " 2"))
    item = template.item(Item("a", "1+1?", "2"))
    assert example.prompt == item.prompt == "user: 1+1?END\nassistant: "
    assert (example.target, example.question) == ("2END", "1+1?")
    assert (item.answer, item.question) == ("2", "1+1?")
    data = template.data(TaskData([Example("a", " b")], [Example("c", " d")]))
    assert [one.target for one in (*data.train, *data.validation)] == ["bEND", "dEND"]


def test_choices_begin_where_a_reply_does(tokenizer: PreTrainedTokenizerFast) -> None:
    item = ChatTemplate(templated(tokenizer, TURNS)).item(Item("a", "b", " d", (" c", " d")))
    assert (item.answer, item.choices) == ("d", ("c", "d"))


def test_conversations_keep_their_roles(tokenizer: PreTrainedTokenizerFast) -> None:
    said = (("system", "be brief"), ("user", "a"), ("assistant", "b"), ("user", "c"))
    conversation = Conversation("flat", "d", "a?", said)
    found = ChatTemplate(templated(tokenizer, TURNS)).example(conversation)
    assert found == Example(
        "system: be briefEND\nuser: aEND\nassistant: bEND\nuser: cEND\nassistant: ", "dEND", "a?"
    )


@pytest.mark.parametrize(
    ("ending", "end_of_turn"),
    [("END\n", "END"), ("</s>", ""), ("</s>\n", ""), ("END</s>", "END"), ("\n", "")],
)
def test_the_end_of_a_turn(
    tokenizer: PreTrainedTokenizerFast, ending: str, end_of_turn: str
) -> None:
    template = TURNS.replace("END\n", ending)
    assert ChatTemplate(templated(tokenizer, template)).end_of_turn == end_of_turn


def test_a_text_begins_once(
    tokenizer: PreTrainedTokenizerFast, merging_tokenizer: PreTrainedTokenizerFast
) -> None:
    """Whether the tokenizer, the template or both begin it."""
    begun = PreTrainedTokenizerFast(
        tokenizer_object=merging_tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>"
    )
    begun.chat_template = TURNS
    silent = TURNS.replace("{{ bos_token }}", "")
    for one in (templated(tokenizer, TURNS), templated(tokenizer, silent), begun):
        ids = one(ChatTemplate(one).example(Example("a", "b")).prompt).input_ids
        assert ids[0] == one.bos_token_id
        assert ids.count(one.bos_token_id) == 1


def test_the_date_is_no_part_of_the_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    dated = "{{ date_string }} " + TURNS
    assert "2024" in ChatTemplate(templated(tokenizer, dated)).example(Example("a", "b")).prompt


def test_what_a_template_cannot_do_is_said(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match="has no chat template"):
        ChatTemplate(templated(tokenizer, None))
    template = ChatTemplate(templated(tokenizer, TURNS))
    with pytest.raises(UserError, match="takes no conversation of user, tool: no tools"):
        template.example(Conversation("a", "b", "c", (("user", "a"), ("tool", "b"))))


PARTS = """{% for m in messages %}{{ m.role }}: {% for part in m.content %}{{ part.text }}{% endfor %}END
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"""


def test_content_in_parts_is_given_to_templates_that_want_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    template = ChatTemplate(templated(tokenizer, PARTS))
    assert template.example(Example("1+1?", "2")) == Example(
        "user: 1+1?END\nassistant: ", "2END", "1+1?"
    )


def test_the_date_is_constant_however_a_template_asks_for_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    dated = "{{ strftime_now('%d %B %Y') }} {{ date_string }} " + TURNS.replace(
        "{{ bos_token }}", ""
    )
    written = ChatTemplate(templated(tokenizer, dated)).example(Example("a", "b")).prompt
    assert written.startswith("26 July 2024 26 Jul 2024 user: a")


def test_options_of_a_task_reach_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    thinking = TURNS + "{% if enable_thinking is false %}<no>{% endif %}"
    changed = templated(tokenizer, thinking)
    assert ChatTemplate(changed).example(Example("a", "b")).prompt.endswith("assistant: ")
    chosen = ChatTemplate(changed, {"enable_thinking": False})
    assert chosen.example(Example("a", "b")).prompt.endswith("assistant: <no>")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            TURNS.replace("{% if add_generation_prompt %}assistant: {% endif %}", ""),
            "writes 'assistant:' before a reply, and not where one is to follow",
        ),
        (
            TURNS.replace("m.content", "m.content | upper"),
            "loses or changes what a user says: 'How",
        ),
        (TURNS.replace("m.content", "m.text"), "loses or changes what a user says"),
        (
            TURNS.replace("m.content", "(m.content if m.role == 'user' else '')"),
            "does not write replies as they are given",
        ),
        (TURNS.replace("m.content", "m.content + 1"), "takes no conversation of user: "),
        (TURNS.replace("m.content", "m.content.nothing.more"), "takes no conversation of user: "),
        (TURNS.replace("endfor", "end"), "takes no conversation of user: "),
    ],
)
def test_a_template_that_would_train_on_something_else_is_noticed(
    tokenizer: PreTrainedTokenizerFast, template: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ChatTemplate(templated(tokenizer, template))


def test_a_question_that_one_example_loses_is_noticed(tokenizer: PreTrainedTokenizerFast) -> None:
    cutting = TURNS.replace("m.content", "m.content | replace('9', 'nine')")
    template = ChatTemplate(templated(tokenizer, cutting))
    assert "user: 1+1?END" in template.example(Example("1+1?", "2")).prompt
    with pytest.raises(UserError, match=r"loses or changes what a user says: '9\+9\?' does not"):
        template.example(Example("9+9?", "18"))
    with pytest.raises(UserError, match=r"loses or changes"):
        template.item(Item("a", "9+9?", "18"))


def test_a_template_without_a_place_for_the_system_is_noticed(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Every example of a set would lose the same text."""
    messages = (("system", "Be brief."), ("user", "1+1?"))
    conversation = Conversation("1+1?", "2", messages=messages)
    whole = ChatTemplate(templated(tokenizer, TURNS))
    assert "Be brief." in whole.example(conversation).prompt
    passing = TURNS.replace("m.content", "(m.content if m.role != 'system' else '')")
    with pytest.raises(
        UserError, match="loses or changes what a system says: 'Be brief.' does not"
    ):
        ChatTemplate(templated(tokenizer, passing)).example(conversation)
