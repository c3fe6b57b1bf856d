"""YAML with places: what it makes of values, and that nothing makes it break."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from acl.problems import PolicyError
from coordinator.wireguard.located_yaml import YamlReader, is_null, span_of


def plain(text: str) -> Any:
    reader = YamlReader()
    node = reader.compose(text)
    assert node is not None
    value = reader.located(node, "it")
    assert reader.problems == []
    return value.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90m", "90m"),
        ("5", 5),
        ("-5", -5),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1.5", "1.5"),
        ("0x10", "0x10"),
        ("2026-01-31", "2026-01-31"),
        ("yes", True),
        ("false", False),
        ("~", None),
        ("'5'", "5"),
        ("!!int x", "x"),
        ("!!python/object:os.system x", "x"),
        ("{a: [1, {b: c}]}", {"a": [1, {"b": "c"}]}),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


def test_places() -> None:
    node = YamlReader().compose("a:\n  b: c")
    assert isinstance(node, yaml.MappingNode)
    assert str(span_of(node.value[0][1])) == "line 2, column 3"
    assert YamlReader().compose("") is None
    empty = YamlReader().compose("~")
    assert empty is not None
    assert is_null(empty)


@pytest.mark.parametrize("text", ["[", "a: b: c", "\0", "[" * 5000, "x" * 5_000_000])
def test_what_is_no_yaml(text: str) -> None:
    with pytest.raises(PolicyError):
        YamlReader().compose(text)


def test_what_is_too_deep_or_has_a_key_that_is_none() -> None:
    for text in ("&a [*a]", "{? [a] : 1}", "{a: 1, a: 2}"):
        reader = YamlReader()
        node = reader.compose(text)
        assert node is not None
        reader.located(node, "it")
        assert reader.problems
