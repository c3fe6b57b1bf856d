"""YAML with the place of every value, and of every mistake; all mistakes are collected."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from acl.hujson import Member, Value
from acl.problems import PolicyError, Problem, Span

MAX_CHARS = 4 << 20
MAX_DEPTH = 8
MAX_LIST = 1000
"""Of values that are taken as they are: an alias repeats what it stands for."""
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")


class YamlReader:
    """Collects problems."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def compose(self, text: str) -> yaml.Node | None:
        """The root of a text; None for an empty one.

        Raises:
            PolicyError: it is not YAML, or too large.
        """
        if len(text) > MAX_CHARS:
            raise PolicyError([Problem(code="too-large", message=f"larger than {MAX_CHARS >> 20} MiB")])
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = error.problem or "not YAML"
            raise PolicyError(
                [Problem(code="not-yaml", message=message, span=None if mark is None else _span(mark, mark))]
            ) from error
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise PolicyError([Problem(code="not-yaml", message=f"not YAML: {error}")]) from error

    def complain(self, node: yaml.Node, message: str, about: str | None = None) -> None:
        """One more mistake, at the place of a node."""
        self.problems.append(Problem(code="bad-declaration", message=message, span=span_of(node), help=about))

    def mapping(self, node: yaml.Node, what: str) -> Sequence[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a mapping, each key once."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, f"{what} must be a mapping of keys to values")
            return ()
        pairs, seen = [], set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(key, f"a key of {what} must be text")
            elif key.value in seen:
                self.complain(key, f"key `{key.value}` is given twice")
            else:
                seen.add(key.value)
                pairs.append((key, value))
        return pairs

    def located(self, node: yaml.Node, what: str, depth: int = 1) -> Value:
        """A value as the policy's readers take it; what YAML alone has, such as times, as it is written."""
        span = span_of(node)
        if depth > MAX_DEPTH:
            self.complain(node, f"{what} is nested more than {MAX_DEPTH} deep")
        elif isinstance(node, yaml.MappingNode):
            members = tuple(
                Member(key=str(key.value), key_span=span_of(key), value=self.located(each, what, depth + 1))
                for key, each in self.mapping(node, what)
            )
            return Value(data=members, is_object=True, span=span)
        elif isinstance(node, yaml.SequenceNode):
            if len(node.value) > MAX_LIST:
                self.complain(node, f"a list of {what} has more than {MAX_LIST} items")
                return Value(data=(), is_object=False, span=span)
            items = tuple(self.located(each, what, depth + 1) for each in node.value)
            return Value(data=items, is_object=False, span=span)
        elif isinstance(node, yaml.ScalarNode):
            return Value(data=_scalar(node), is_object=False, span=span)
        return Value(data=None, is_object=False, span=span)


def is_null(node: yaml.Node) -> bool:
    """Whether nothing is given."""
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")


def span_of(node: yaml.Node) -> Span:
    """Where a node stands."""
    return _span(node.start_mark, node.end_mark)


def _scalar(node: yaml.ScalarNode) -> bool | int | str | None:
    text = str(node.value)
    if is_null(node):
        return None
    if node.tag.endswith(":bool"):
        return text.lower() in ("true", "yes", "on")
    # Numbers in base 60, octal ones and fractions are nothing a profile could mean: they are texts.
    if node.tag.endswith(":int") and _WHOLE.fullmatch(text):
        return int(text)
    return text


def _span(start: yaml.Mark, end: yaml.Mark) -> Span:
    return Span(
        line=start.line + 1, column=start.column + 1, end_line=end.line + 1, end_column=end.column + 1
    )
