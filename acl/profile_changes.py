"""What an edit of the section `access` changes: who could have what opened, who decides, on which terms.

Here: the reach of every profile as facts that `access` compares like any other, and the terms of profiles
that stay. Called by `access`, for `policy diff`. A term that cannot be told to be narrower counts as one that
opens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from acl.compile import RuleKind
from acl.document import AccessProfile, Policy, Word, Words
from acl.facts import UserFact
from acl.index import PolicyIndex
from acl.ports import PROTOCOLS
from acl.profiles import approvals_needed, max_seconds
from acl.selectors import split_destination

__all__ = ["ON_REQUEST", "profile_facts", "term_changes"]

Fact = tuple[str, str, str, tuple[int, int]]
Term = tuple[str, str, str, bool]
"""(profile, "terms", what, whether it opens), in the order of `acl.access.AccessChange`."""

ON_REQUEST = " on request through "
_NAMES = {number: name for name, number in reversed(list(PROTOCOLS.items()))}
_NO_PORTS = (-1, -1)


def profile_facts(index: PolicyIndex, users: Sequence[UserFact]) -> Iterator[Fact]:
    """What every profile could open, and who decides, as (who, destination, kind of access, ports).

    People stand for themselves, so that an edit of a group shows; where no users are known, selectors do.
    """
    policy = index.policy
    for profile in policy.access_profiles if policy is not None else ():
        name = profile.name.text
        for asker in _people(index, profile.src, users):
            yield from _opened(index, profile, asker, f"{ON_REQUEST}{name}")
        for asker in _people(index, profile.break_glass, users):
            yield from _opened(index, profile, asker, f"{ON_REQUEST}{name} by break-glass")
        for person in _people(index, profile.approvers, users):
            yield person, f"profile {name}", "may approve", _NO_PORTS


def _opened(index: PolicyIndex, profile: AccessProfile, asker: str, how: str) -> Iterator[Fact]:
    for template in index.engine.window_rules[profile.name.text].network:
        if template.kind is not RuleKind.PORTS:
            continue
        names = [_NAMES.get(number, str(number)) for number in template.protocols] or ["any"]
        via = f" via {', '.join(template.via)}" if template.via else ""
        for target in template.targets:
            for protocol in names:
                for part in target.ports:
                    yield asker, f"{target.text}{via}", f"{protocol}{how}", (part.first, part.last)
    for destination in profile.dst:
        for user in profile.ssh_users:
            text = split_destination(destination.text)[0]
            who = "any user" if user.text.strip() == "autogroup:nonroot" else user.text.strip()
            yield asker, text, f"ssh as {who}{how}", _NO_PORTS


def _people(index: PolicyIndex, words: Words, users: Sequence[UserFact]) -> list[str]:
    selectors = [word.text.strip() for word in words]
    if not users:
        return selectors
    return [user.login for user in users if index.means_user(selectors, user.id)]


def term_changes(old: Policy | None, new: Policy | None) -> list[Term]:
    """The terms that differ between profiles of the same name."""
    before = {profile.name.text: profile for profile in (old.access_profiles if old is not None else ())}
    found: list[Term] = []
    for profile in new.access_profiles if new is not None else ():
        name = profile.name.text
        if name in before:
            found += [(f"profile {name}", "terms", *each) for each in _terms(before[name], profile)]
    return found


def _terms(old: AccessProfile, new: AccessProfile) -> Iterator[tuple[str, bool]]:
    longest, before = max_seconds(new), max_seconds(old)
    if longest != before:
        shown = f"{timedelta(seconds=longest)} (was {timedelta(seconds=before)})"
        yield f"maxDuration {shown}", longest > before
    needed, was = approvals_needed(new), approvals_needed(old)
    if needed != was:
        yield f"approvals {needed} (was {was})", needed < was
    if new.max_active != old.max_active:
        more = new.max_active is None or (old.max_active is not None and new.max_active > old.max_active)
        yield f"maxActive {_count(new.max_active)} (was {_count(old.max_active)})", more
    for key, left, right in (
        ("reason", _text(old.reason, "required"), _text(new.reason, "required")),
        ("ticket", _text(old.ticket), _text(new.ticket)),
        ("hours", _text(old.hours), _text(new.hours)),
    ):
        if left != right:
            yield f"{key} {right or 'any'} (was {left or 'any'})", bool(left)
    postures, had = _set(new.src_posture), _set(old.src_posture)
    if postures != had:
        wider = bool(had) and (not postures or not postures <= had)
        yield f"srcPosture {_listed(postures)} (was {_listed(had)})", wider


def _text(word: Word | None, only: str = "") -> str:
    """The text of a word; with `only`, nothing unless it says that."""
    text = word.text.strip() if word is not None else ""
    return text if not only or text == only else ""


def _set(words: Words) -> frozenset[str]:
    return frozenset(word.text.strip() for word in words)


def _listed(texts: Iterable[str]) -> str:
    return " or ".join(sorted(texts)) or "any"


def _count(number: int | None) -> str:
    return "any number" if number is None else str(number)
