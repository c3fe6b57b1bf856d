"""Access profiles that stand beside the policy, in a declaration of their own, and join it.

Here: reading one, so that everything that is said of it names it, and joining them with a policy. Not here:
what a profile has to say (`profiles`), which is the same wherever it stands. Called by `acl.parse_policy`,
and by whoever keeps declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from acl.document import AccessProfile, Policy
from acl.hujson import Member, Value, parse_hujson
from acl.problems import PolicyError, Problem, Span
from acl.reading import read_profile

__all__ = ["profile_from_text", "read_declared", "unfit", "with_declared"]

_START = Span(line=1, column=1, end_line=1, end_column=1)


def read_declared(member: Member) -> tuple[AccessProfile, list[Problem]]:
    """A profile from its name and value, which have the shape of a member of `access.profiles`.

    Returns:
        The profile as far as it could be read, and every wrong type and unknown key. All places in it and in
        what is found wrong with it later, have its name as their `document`.
    """
    name = member.key
    return read_profile(
        Member(key=name, key_span=_placed(member.key_span, name), value=_value(member.value, name))
    )


def profile_from_text(name: str, text: str) -> AccessProfile:
    """A profile that was read before, from its value as JSON.

    Raises:
        PolicyError: the text is not JSON, or not that of a profile.
    """
    try:
        value = parse_hujson(text)
    except PolicyError as error:
        raise PolicyError(
            replace(each, span=_placed(each.span or _START, name)) for each in error.problems
        ) from error
    profile, problems = read_declared(Member(key=name, key_span=value.span, value=value))
    if problems:
        raise PolicyError(problems)
    return profile


def with_declared(policy: Policy, declared: Sequence[AccessProfile]) -> tuple[Policy, list[Problem]]:
    """The policy with the profiles declared beside it, behind its own.

    Returns:
        The policy, and a problem for every name that both have; there its own profile stays.
    """
    own = {profile.name.text: profile for profile in policy.access_profiles}
    problems = [
        Problem(
            code="declared-profile",
            message=f"the policy has an access profile `{profile.name.text}` of its own, "
            f"in {own[profile.name.text].span}",
            span=profile.span,
            help="a profile stands in one place: remove or rename one of the two",
        )
        for profile in declared
        if profile.name.text in own
    ]
    added = tuple(profile for profile in declared if profile.name.text not in own)
    return replace(policy, access_profiles=(*policy.access_profiles, *added)), problems


def unfit(problems: Iterable[Problem]) -> frozenset[str]:
    """The declared profiles that some problems are about."""
    return frozenset(
        problem.span.document for problem in problems if problem.span is not None and problem.span.document
    )


def _placed(span: Span, document: str) -> Span:
    return replace(span, document=document)


def _value(value: Value, document: str) -> Value:
    data = value.data
    if value.is_object:
        data = tuple(
            Member(key=m.key, key_span=_placed(m.key_span, document), value=_value(m.value, document))
            for m in value.members()
        )
    elif isinstance(data, tuple):
        data = tuple(_value(item, document) for item in value.items())
    return Value(data=data, is_object=value.is_object, span=_placed(value.span, document))
