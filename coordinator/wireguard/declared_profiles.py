"""The `profiles` of a declaration: access profiles in the policy's own shape.

Both ways to write them mean the same: a mapping of names to profiles, as in the policy, and a list of
profiles with a `name` each, as gateways and peers are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import yaml

from acl import AccessProfile
from acl.declared import read_declared
from acl.hujson import Json, Member, Value
from acl.problems import Problem, Span
from coordinator.wireguard.located_yaml import YamlReader, is_null, span_of

MAX_PROFILES = 500
_NAME = "name"


@dataclass(frozen=True, slots=True)
class ProfileItem:
    """One profile; `body` is its value as plain JSON values, without what is null."""

    profile: AccessProfile
    body: dict[str, Json]

    @property
    def name(self) -> str:
        """Its name."""
        return self.profile.name.text

    @property
    def span(self) -> Span:
        """Where it stands in the file."""
        return replace(self.profile.span, document="")


def read_profiles(reader: YamlReader, node: yaml.Node) -> tuple[ProfileItem, ...]:
    """Read the section; what is wrong with it is added to the reader's problems."""
    if is_null(node):
        return ()
    if not isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        reader.complain(node, "`profiles` must be a mapping of names to profiles")
        return ()
    if len(node.value) > MAX_PROFILES:
        reader.complain(node, f"`profiles` has more than {MAX_PROFILES} items")
        return ()
    found: dict[str, ProfileItem] = {}
    for member in _members(reader, node):
        before = len(reader.problems)
        profile, problems = read_declared(member)
        reader.problems += map(in_the_file, problems)
        if not member.key.strip() or member.key != member.key.strip():
            message = "a profile needs a name, without spaces around it"
            reader.problems.append(Problem(code="bad-name", message=message, span=member.key_span))
        elif member.key in found:
            message = f"profile `{member.key}` is declared twice, first in {found[member.key].span}"
            reader.problems.append(Problem(code="declared-twice", message=message, span=member.key_span))
        if len(reader.problems) == before:
            found[member.key] = ProfileItem(profile, _body(member.value))
    return tuple(found.values())


def in_the_file(problem: Problem) -> Problem:
    """What is wrong, for whoever has the declaration before them: all places are places in that."""
    span = problem.span
    if span is None:
        return problem
    if span.document:
        return replace(problem, span=replace(span, document=""))
    return replace(problem, span=None, message=f"in the policy, {span}: {problem.message}")


def _members(reader: YamlReader, node: yaml.Node) -> Iterator[Member]:
    if isinstance(node, yaml.MappingNode):
        for key, given in reader.mapping(node, "`profiles`"):
            name = str(key.value)
            yield Member(key=name, key_span=span_of(key), value=reader.located(given, f"profile `{name}`"))
        return
    for item in node.value:
        value = reader.located(item, "an item of `profiles`")
        named = [member for member in value.members() if member.key == _NAME]
        if not named or not isinstance(named[0].value.data, str):
            reader.complain(item, "an item of `profiles` needs a `name`, which is text")
            continue
        rest = tuple(member for member in value.members() if member.key != _NAME)
        yield Member(
            key=named[0].value.data,
            key_span=named[0].value.span,
            value=Value(data=rest, is_object=True, span=value.span),
        )


def _body(value: Value) -> dict[str, Json]:
    return {member.key: member.value.plain() for member in value.members() if member.value.data is not None}
