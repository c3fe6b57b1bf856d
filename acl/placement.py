"""Where each kind of selector may stand, and what is said when it stands elsewhere.

Here: the checks of one selector in one place. Not here: the sections (`validate`, `validate_rules`,
`validate_ssh`). The messages for tags, autogroups and `user:*@` are the official service's; the others are
ours.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from acl.document import Policy, Word
from acl.problems import Problem, Span, nearest
from acl.selectors import ROLE_AUTOGROUPS, Selector, SelectorKind, parse_selector

__all__ = ["Names", "Place", "check_selector", "problem"]

IDENTITY_AUTOGROUPS = frozenset({"autogroup:member", "autogroup:tagged", *ROLE_AUTOGROUPS})
LOGIN_AUTOGROUPS = frozenset({"autogroup:nonroot"})
ADDRESS_AUTOGROUPS = frozenset(
    {"autogroup:self", "autogroup:internet", "autogroup:danger-all", "autogroup:shared"}
)
AUTOGROUPS = IDENTITY_AUTOGROUPS | ADDRESS_AUTOGROUPS | LOGIN_AUTOGROUPS


class Place(enum.Enum):
    """A place a selector can stand in; the value is how messages name it."""

    SRC = "src"
    DST = "dst"
    OWNER = "tagOwners"
    APPROVER = "autoApprovers"
    TARGET = "nodeAttrs target"
    SSH_SRC = "ssh src"
    SSH_DST = "ssh dst"


_KINDS: Mapping[Place, frozenset[SelectorKind]] = {
    Place.SRC: frozenset(SelectorKind) - {SelectorKind.SERVICE},
    Place.DST: frozenset(SelectorKind),
    Place.OWNER: frozenset({SelectorKind.USER, SelectorKind.GROUP, SelectorKind.TAG, SelectorKind.AUTOGROUP,
                            SelectorKind.DOMAIN}),
    Place.APPROVER: frozenset({SelectorKind.USER, SelectorKind.GROUP, SelectorKind.TAG,
    SelectorKind.AUTOGROUP,
                               SelectorKind.DOMAIN}),
    Place.TARGET: frozenset(SelectorKind) - {SelectorKind.SERVICE, SelectorKind.IPSET, SelectorKind.PEER},
    Place.SSH_SRC: frozenset({SelectorKind.USER, SelectorKind.GROUP, SelectorKind.TAG, SelectorKind.AUTOGROUP,
                              SelectorKind.DOMAIN}),
    Place.SSH_DST: frozenset({SelectorKind.USER, SelectorKind.TAG, SelectorKind.AUTOGROUP}),
}  # fmt: skip

_AUTOGROUPS: Mapping[Place, frozenset[str]] = {
    Place.SRC: IDENTITY_AUTOGROUPS | {"autogroup:danger-all", "autogroup:shared"},
    Place.DST: IDENTITY_AUTOGROUPS | {"autogroup:self", "autogroup:internet"},
    Place.OWNER: IDENTITY_AUTOGROUPS,
    Place.APPROVER: IDENTITY_AUTOGROUPS,
    Place.TARGET: IDENTITY_AUTOGROUPS,
    Place.SSH_SRC: IDENTITY_AUTOGROUPS,
    Place.SSH_DST: frozenset({"autogroup:member", "autogroup:tagged", "autogroup:self"}),
}


class Names:
    """The names a policy declares."""

    def __init__(self, policy: Policy) -> None:
        self.tags = policy.tags()
        self.groups = frozenset(group.name.text for group in policy.groups)
        self.hosts = policy.host_addresses()
        self.ipsets = {entry.name.text: tuple(word.text for word in entry.items) for entry in policy.ipsets}
        self.postures = frozenset(entry.name.text for entry in policy.postures)


def problem(code: str, message: str, span: Span, known: Iterable[str] = (), name: str = "") -> Problem:
    """A problem with a near-name hint when `name` resembles a known one."""
    return Problem(code=code, message=message, span=span, help=nearest(name, known) if name else None)


def _misplaced(selector: Selector, place: Place, word: Word) -> Problem:
    text = selector.text
    if place is Place.SSH_DST:
        return problem("misplaced-selector", f'invalid dst "{text}"', word.span)
    if place is Place.DST and text == "autogroup:danger-all":
        return problem("misplaced-selector", "cannot use autogroup:danger-all as a dst", word.span)
    if place is Place.SRC:
        return problem("misplaced-selector", f'"{text}" not valid on the src side of a rule', word.span)
    if place is Place.DST:
        return problem("misplaced-selector", f'"{text}" not valid on the dst side of a rule', word.span)
    return problem("misplaced-selector", f'"{text}" not valid in {place.value}', word.span)


def _unknown(selector: Selector, place: Place, word: Word, names: Names, shown: str) -> Problem | None:
    """A tag, host or IP set that the policy does not declare. Unknown groups may still come from outside."""
    kind, text = selector.kind, selector.text
    prefix = {Place.SRC: "src=", Place.DST: f'dst="{shown}": '}.get(place, "")
    if kind is SelectorKind.TAG and text not in names.tags:
        if place is Place.SSH_DST or place is Place.SSH_SRC:
            prefix = "src=" if place is Place.SSH_SRC else "dst="
        return problem("unknown-tag", f'{prefix}tag not found: "{text}"', word.span, names.tags, text)
    if kind is SelectorKind.HOST and text not in names.hosts:
        prefix = "" if place is Place.TARGET else prefix
        known = (*names.hosts, *names.groups, *names.tags, *AUTOGROUPS)
        return problem("unknown-host", f'{prefix}"{text}": invalid address', word.span, known, text)
    if kind is SelectorKind.IPSET and text not in names.ipsets:
        return problem("unknown-ipset", f'{prefix}ipset not found: "{text}"', word.span, names.ipsets, text)
    return None


def check_selector(word: Word, place: Place, names: Names, *, host: str | None = None) -> Problem | None:
    """Check one selector where it stands.

    Args:
        word: the string as written, for its span.
        host: for an ACL destination, the string without its ports.
    Returns:
        The problem, or None.
    """
    selector = parse_selector(word.text if host is None else host)
    shown = selector.text
    if selector.kind not in _KINDS[place]:
        return _misplaced(selector, place, word)
    if selector.kind is SelectorKind.AUTOGROUP and selector.text not in _AUTOGROUPS[place]:
        if selector.text not in AUTOGROUPS:
            message = f'unknown autogroup "{selector.text}"'
            return problem("unknown-autogroup", message, word.span, AUTOGROUPS, selector.text)
        return _misplaced(selector, place, word)
    return _unknown(selector, place, word, names, shown)
