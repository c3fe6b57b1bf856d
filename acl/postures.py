"""Device postures: conditions on the source device of a rule.

Here: parsing of assertions, and whether a device's attributes satisfy them. Not here: which rule asks for
which posture (`compile`), and which nodes that leaves (`resolve`). Called by `validate` and `resolve`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Assertion", "PostureError", "compare_versions", "parse_assertion", "satisfies"]

AttributeValue = str | int | float | bool

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*:[A-Za-z0-9_.-]+")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>|NOT\s+IN\b|IN\b)\s*", re.IGNORECASE)
_VALUE = re.compile(r"'([^']*)'|\"([^\"]*)\"|(-?[0-9]+(?:\.[0-9]+)?)(?![0-9A-Za-z.])|(true|false)\b")
_RUN = re.compile(r"([^0-9]*)([0-9]*)")


class PostureError(ValueError):
    """An assertion that cannot be read."""


class Operator(enum.Enum):
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "IN"
    NOT_IN = "NOT IN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """`attribute operator value`; `values` has one item except for IN and NOT IN."""

    attribute: str
    operator: Operator
    values: tuple[AttributeValue, ...]


def _value(text: str, at: int) -> tuple[AttributeValue, int]:
    match = _VALUE.match(text, at)
    if match is None:
        raise PostureError(f"`{text[at:]}` is not a value, write 'text', a number, true or false")
    single, double, number, flag = match.groups()
    if number is not None:
        return (float(number) if "." in number else int(number)), match.end()
    if flag is not None:
        return flag == "true", match.end()
    return (single if single is not None else double), match.end()


def _values(text: str, at: int) -> tuple[tuple[AttributeValue, ...], int]:
    if text[at : at + 1] != "[":
        raise PostureError("IN needs a list in square brackets")
    inner = at + 1
    out: list[AttributeValue] = []
    while True:
        while text[inner : inner + 1] in (" ", "\t", ",") and text[inner : inner + 1]:
            inner += 1
        if text[inner : inner + 1] == "]":
            return tuple(out), inner + 1
        value, inner = _value(text, inner)
        out.append(value)


def parse_assertion(text: str) -> Assertion:
    """Read one assertion; a bare attribute means `== true`.

    Raises:
        PostureError: no attribute name (`namespace:name`), no operator, or no value.
    """
    text = text.strip()
    name = _NAME.match(text)
    if name is None:
        raise PostureError(f"`{text}` does not begin with an attribute such as node:os")
    if name.end() == len(text):
        return Assertion(attribute=name.group(), operator=Operator.EQUAL, values=(True,))
    found = _OPERATOR.match(text, name.end())
    if found is None:
        raise PostureError(f"`{text[name.end() :].strip()}` does not begin with an operator such as ==")
    operator = Operator(re.sub(r"\s+", " ", found.group(1).upper()))
    if operator in (Operator.IN, Operator.NOT_IN):
        values, end = _values(text, found.end())
    else:
        value, end = _value(text, found.end())
        values = (value,)
    if text[end:].strip():
        raise PostureError(f"`{text[end:].strip()}` is left over after the value")
    return Assertion(attribute=name.group(), operator=operator, values=values)


def compare_versions(left: str, right: str) -> int:
    """Order two versions field by field: runs of digits as numbers, what stands between as text.

    Returns:
        Negative, zero or positive. Source: tailscale util/cmpver, which the service documents for postures.
    """

    def fields(text: str) -> list[tuple[str, int]]:
        return [(word, int(digits or "0")) for word, digits in _RUN.findall(text) if word or digits]

    a, b = fields(left), fields(right)
    return (a > b) - (a < b)


def _equal(actual: AttributeValue, wanted: AttributeValue) -> bool:
    # Python has True == 1; a boolean attribute is not a number.
    return isinstance(actual, bool) == isinstance(wanted, bool) and actual == wanted


def _ordered(actual: AttributeValue, wanted: AttributeValue) -> int | None:
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return None
    if isinstance(actual, str) != isinstance(wanted, str):
        # A version may be written as a number: `node:osVersion >= 13`.
        actual, wanted = str(actual), str(wanted)
    if isinstance(actual, str) and isinstance(wanted, str):
        return compare_versions(actual, wanted)
    if isinstance(actual, str) or isinstance(wanted, str):
        return None
    return (actual > wanted) - (actual < wanted)


def _holds(assertion: Assertion, attributes: Mapping[str, AttributeValue]) -> bool:
    actual = attributes.get(assertion.attribute)
    if actual is None:
        return False  # whatever the operator: an attribute the device lacks proves nothing
    values, operator = assertion.values, assertion.operator
    if operator in (Operator.EQUAL, Operator.IN):
        return any(_equal(actual, value) for value in values)
    if operator in (Operator.NOT_EQUAL, Operator.NOT_IN):
        return not any(_equal(actual, value) for value in values)
    order = _ordered(actual, values[0])
    if order is None:
        return False
    return {
        Operator.LESS: order < 0,
        Operator.LESS_OR_EQUAL: order <= 0,
        Operator.GREATER: order > 0,
        Operator.GREATER_OR_EQUAL: order >= 0,
    }[operator]


def satisfies(assertions: Sequence[Assertion], attributes: Mapping[str, AttributeValue]) -> bool:
    """Whether a device with these attributes meets every assertion of a posture."""
    return all(_holds(assertion, attributes) for assertion in assertions)
