r"""The number that a response states as its answer, as people and chat models write numbers.

A statement is "answer is" or "\boxed". What follows it may stand in markup and behind a currency or a
variable. A number is read whole or not at all:

    1,200   1 200   1e3   .5   -5   -$5   $-5   −5       numbers
    10 million   2.5k                                    numbers, multiplied out
    3 + 4 = 7                                            7, what stands behind the last "="
    3/4   5 1/2   2^3   3 + 4   7:30   3.4.5   5½        no single number
"""

from __future__ import annotations

import re
from decimal import Decimal

STATEMENT = r"(?:(?i:answer is)|\\boxed(?=\s*\{))"
"""Where an answer is stated."""

_MARKUP = r"""(?:[\s*_`"'(\[{:=~$€£¥]|\\[(\[,!$]|\\(?:boxed|text\w*|math\w*)\s*\{)"""
LEAD = rf"(?i:{_MARKUP}*(?:(?:option|choice)\b{_MARKUP}*)?)"
"""What may stand between a statement and its answer."""

_SIGNS = "-+\N{MINUS SIGN}\N{EN DASH}\N{NON-BREAKING HYPHEN}\N{FULLWIDTH HYPHEN-MINUS}"
_SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_DIGITS = (
    r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)"  # 1,200 and 12,34,000
    rf"|\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)"  # 1 200
    r"|\d+)(?:\.\d+)?|\.\d+"
)
_CURRENCY = r"(?:[\\$€£¥\s*_]|US(?=\\?\$)|USD|EUR|GBP|Rs\.?)"
_NUMBER = re.compile(
    rf"(?P<lead>{_MARKUP}*(?:[A-Za-z]\s*=\s*)?{_MARKUP}*)"
    rf"(?P<sign>[{_SIGNS}]?)(?P<currency>{_CURRENCY}*)(?P<inner>[{_SIGNS}]?)"
    rf"(?P<digits>{_DIGITS})(?P<exponent>[eE][-+]?\d{{1,3}}\b)?",
    re.ASCII,
)
_FRACTION = re.compile(rf"{_MARKUP}*[{_SIGNS}]?{_MARKUP}*\\[dt]?frac")
_CLOSED = r"(?:[*_`)\]}$]|\\[)\]$])*"
_GOES_ON = re.compile(
    r"[.,:]\d|e[-+]?\d"  # 3.4.5, 1,2, 7:30 and 2e3e4
    r"|[\N{VULGAR FRACTION ONE QUARTER}-\N{VULGAR FRACTION THREE QUARTERS}"
    r"\N{VULGAR FRACTION ONE SEVENTH}-\N{VULGAR FRACTION ZERO THIRDS}²³¹⁰⁴-⁹]"
    r"|[ \t]*\\[dt]?frac|[ \t]*\^|\*\*\d"
    rf"|{_CLOSED}[ \t]+\d"  # 5 1/2
    rf"|{_CLOSED}[ \t]*(?:[-+*/x×·÷\N{{MINUS SIGN}}\N{{EN DASH}}]|\\(?:times|cdot|div))"
    rf"[ \t]*{_CLOSED}[$(]*\.?\d",
    re.IGNORECASE,
)
_EQUALS = re.compile(rf"{_CLOSED}[ \t]*=")
_SENTENCE = re.compile(r"\n|[.;!?](?=\s|$)")
_SCALES = {"k": 3, "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALE = re.compile(rf"(?:k|{_CLOSED}[ \t]*(?:hundred|thousand|million|billion|trillion))\b", re.I)


def last_stated_number(response: str) -> str | None:
    """What the last statement that begins like a number states, in plain digits; None: no number."""
    text = response.replace("{,}", ",").replace(r"\,", " ").replace(r"\!", "")
    for statement in reversed(list(re.finditer(STATEMENT, text))):
        rest = text[statement.end() :]
        if _FRACTION.match(rest):
            return None
        if found := _NUMBER.match(rest):
            return _whole(found, rest)
    return None


def _whole(found: re.Match[str], text: str) -> str | None:
    """The number that was found, if it ends where it seems to."""
    rest = text[found.end() :]
    continued = bool(_GOES_ON.match(rest))
    if continued or _EQUALS.match(rest):
        end = _SENTENCE.search(rest)
        calculation = rest[: end.start()] if end else rest
        _, equals, value = calculation.rpartition("=")
        result = _NUMBER.match(value) if equals else None
        if result is not None and not _GOES_ON.match(value[result.end() :]):
            return _plain(result, value[result.end() :])
        if continued:
            return None
    return _plain(found, rest)


def _plain(found: re.Match[str], rest: str) -> str:
    digits = re.sub(rf"[,{_SPACES}]", "", found["digits"])
    negative = any(sign not in ("", "+") for sign in (found["sign"], found["inner"]))
    text = ("-" if negative else "") + ("0" if digits.startswith(".") else "") + digits
    text += found["exponent"] or ""
    if scale := _SCALE.match(rest):
        word = re.sub(r"[^a-z]", "", scale.group().lower())
        return f"{Decimal(text).scaleb(_SCALES[word]):f}"
    return text
