"""A YAML or JSON file as dotted paths with line numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

MAX_BYTES = 1 << 20
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the file; `line` counts from 1.

    `text` is a plain value as it stands in the file: YAML makes `0123` a number and `no` a truth value, which
    a password or a file mode must not become. None for lists, mappings and null.
    """

    path: str
    value: Any
    line: int
    text: str | None = field(default=None, compare=False)


class DocumentError(Exception):
    """The text is no configuration file; the message says where."""


def read_entries(text: str, stop: frozenset[str]) -> Iterator[Entry]:
    """Yield the entries of a file, keys in lower case.

    Args:
        text: YAML or JSON.
        stop: Paths whose values are mappings of their own and are not taken apart.

    Raises:
        DocumentError: not YAML, not a mapping, nested too deeply, or a key given twice.
    """
    if len(text) > MAX_BYTES:
        raise DocumentError("the file is larger than 1 MiB")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError(f"{place}{error.problem or 'not YAML'}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DocumentError(f"not YAML: {error}") from error
    if root is None:
        return
    yield from _walk(root, "", stop, 0)


def _walk(node: yaml.Node, path: str, stop: frozenset[str], depth: int) -> Iterator[Entry]:
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        raise DocumentError(f"line {line}: nested more than {MAX_DEPTH} deep")
    if not isinstance(node, yaml.MappingNode) or path in stop:
        if not path:
            raise DocumentError("the file must be a mapping of keys to values")
        try:
            value = SafeConstructor().construct_document(node)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise DocumentError(f"line {line}: {error}") from error
        plain = isinstance(node, yaml.ScalarNode) and value is not None
        yield Entry(path, value, line, node.value if plain else None)
        return
    if path and not node.value:
        yield Entry(path, {}, line)
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value).lower()
        key_line = key_node.start_mark.line + 1
        if key in seen:
            raise DocumentError(f"line {key_line}: key `{key}` is given twice, first in line {seen[key]}")
        seen[key] = key_line
        yield from _walk(value_node, f"{path}.{key}" if path else key, stop, depth + 1)
