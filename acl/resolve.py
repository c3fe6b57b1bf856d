"""What selectors mean: identities to users and nodes, set specs to bit sets and filter strings.

Here: `IdentityDirectory` (who is meant by a name), `Profile` (what one node matches) and `AddressSet` (a
source or destination of rules, kept up to date as nodes come and go). Not here: rules and classes
(`engine`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acl.addresses import TAILNET, AddressRange
from acl.compile import SetSpec
from acl.document import Policy
from acl.facts import TailnetFacts, UserFact
from acl.nodes import NodeTable, bits, node_addresses
from acl.selectors import ROLE_AUTOGROUPS

if TYPE_CHECKING:
    from acl.classes import Rule

__all__ = ["AddressSet", "IdentityDirectory", "Profile"]

MEMBER = "autogroup:member"
TAGGED = "autogroup:tagged"
WINDOW = "window:"
"""Begins the identities that mean the source nodes of an open window; no policy can spell one."""


class IdentityDirectory:
    """Which users an identity selector means, and which selectors mean a node."""

    def __init__(self, policy: Policy | None, facts: TailnetFacts) -> None:
        self.users = {user.id: user for user in facts.users}
        self._groups: dict[str, tuple[str, ...]] = {
            name: tuple(login.strip() for login in members) for name, members in facts.extra_groups.items()
        }
        if policy is not None:
            for name, members in policy.group_members().items():
                self._groups[name] = (*self._groups.get(name, ()), *members)
        self._by_provider: dict[str, set[int]] = {}
        self._by_name: dict[str, set[int]] = {}
        for user in facts.users:
            if user.provider_identifier:
                self._by_provider.setdefault(user.provider_identifier, set()).add(user.id)
            for name in {user.login, user.email, user.name, f"{user.name}@"} - {"", "@"}:
                self._by_name.setdefault(name, set()).add(user.id)
        self._meant: dict[str, frozenset[int]] = {}

    def _user(self, text: str) -> set[int]:
        """A provider's own identifier wins over login, e-mail and local name."""
        return self._by_provider.get(text) or self._by_name.get(text) or set()

    def users_of(self, text: str) -> frozenset[int]:
        """The users an identity selector means; empty for tags and for names nobody has."""
        found = self._meant.get(text)
        if found is None:
            found = self._meant[text] = frozenset(self._users_of(text))
        return found

    def _users_of(self, text: str) -> Iterable[int]:
        if text == MEMBER:
            return self.users
        if text in ROLE_AUTOGROUPS:
            roles = ROLE_AUTOGROUPS[text]
            return (user.id for user in self.users.values() if user.role in roles)
        if text.startswith("group:"):
            return (user for login in self._groups.get(text, ()) for user in self._user(login))
        if text.startswith("user:*@"):
            domain = text.removeprefix("user:*@")
            return (user.id for user in self.users.values() if login_domain(user) == domain)
        if text.startswith(("tag:", "autogroup:", "ipset:", "svc:", WINDOW)):
            return ()
        return self._user(text)

    def matches(self, text: str, owner: int | None, tags: Iterable[str]) -> bool:
        """Whether an identity selector means a node with these tags, or without tags and of this user."""
        tags = tuple(tags)
        if tags:
            return text == TAGGED or text in tags
        return text == MEMBER or (owner is not None and owner in self.users_of(text))


def login_domain(user: UserFact) -> str:
    """The part of the login after the last `@`."""
    return user.login.rpartition("@")[2] if "@" in user.login else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything about a node that decides which sets it is in; nodes with equal profiles are one class.

    Attributes:
        identities: identity selectors of the policy that mean the node.
        ranges: ranges of the policy that hold one of its addresses.
        in_wildcard: whether `*` as a source covers it.
        postures: postures it satisfies.
        owner: the user, where the policy has rules between a user's own nodes; else None.
        router: the node's id if it has approved routes: a router is a class of its own.
        placed: whether it has an address at all.
    """

    identities: frozenset[str] = frozenset()
    ranges: frozenset[AddressRange] = frozenset()
    in_wildcard: bool = False
    postures: frozenset[str] = frozenset()
    owner: int | None = None
    router: int | None = None
    placed: bool = True


class AddressSet:
    """A source or destination of rules, as nodes and as filter strings.

    Attributes:
        owner: narrows the set to the untagged nodes of one user; None for no narrowing.
        whole: bit set of nodes that stand here with all their addresses.
        narrowed: bit set of nodes that stand here only with their addresses in `spec.ranges` (a posture
            condition
            took the ranges apart into nodes).
        is_source: whether some rule may list the set as its source (a via rule only while there is a router).
        as_source, as_target: the rules that use this set.
        cover_classes: bit set of the classes this set covers as a source.
        target_classes: bit set of the classes some rule of `as_source` has a filter entry for.
        key: what `content_key` said last; the packet filter merges rules whose sources have equal keys.
    """

    __slots__ = (
        "_strings",
        "_strings_of",
        "_tuple",
        "as_source",
        "as_target",
        "by_node",
        "cover_classes",
        "has_single",
        "is_source",
        "key",
        "narrowed",
        "owner",
        "spec",
        "target_classes",
        "whole",
    )

    def __init__(self, spec: SetSpec, owner: int | None = None) -> None:
        self.spec = spec
        self.owner = owner
        # With a condition on nodes, even `*` and prefixes stand for the nodes in them that meet it.
        self.by_node = bool(spec.postures) or owner is not None or spec.nodes_at
        self.whole = 0
        self.narrowed = 0
        self.is_source = False
        self.as_source: list[Rule] = []
        self.as_target: list[Rule] = []
        self.cover_classes = 0
        self.target_classes = 0
        self.has_single = not self.by_node and any(item.single for item in spec.ranges)
        self.key: tuple[object, ...] | None = None
        self._strings: list[str] | None = None
        self._strings_of = 0
        self._tuple: tuple[str, ...] | None = None

    # -- membership ------------------------------------------------------------------------------------------

    def allows(self, profile: Profile, owner: int | None) -> bool:
        """Whether the conditions on a node (posture, owner) hold."""
        if self.owner is not None and owner != self.owner:
            return False
        return not self.spec.postures or not profile.postures.isdisjoint(self.spec.postures)

    def means_whole(self, profile: Profile, owner: int | None) -> bool:
        """Whether a node of this profile belongs to the set as a node, with all its addresses."""
        if not profile.placed or not self.allows(profile, owner):
            return False
        if not profile.identities.isdisjoint(self.spec.identities):
            return True
        return self.by_node and (self.spec.everything or (self.spec.wildcard and profile.in_wildcard))

    def holds_address(self, profile: Profile, owner: int | None) -> bool:
        """Whether some address of a node of this profile is in the set."""
        if not profile.placed or not self.allows(profile, owner):
            return False
        spec = self.spec
        return (
            spec.everything
            or (spec.wildcard and profile.in_wildcard)
            or not profile.identities.isdisjoint(spec.identities)
            or not profile.ranges.isdisjoint(spec.ranges)
        )

    def add(self, bit: int, *, whole: bool) -> None:
        if whole:
            self.whole |= bit
        else:
            self.narrowed |= bit
        self._tuple = None

    def remove(self, bit: int) -> None:
        """Take a node out, after `drop_node_strings`."""
        self.whole &= ~bit
        self.narrowed &= ~bit
        self._tuple = None

    def forget_strings(self) -> None:
        self._tuple = None

    @property
    def nodes(self) -> int:
        """Bit set of the nodes whose addresses are spelled out in the filter."""
        return self.whole | self.narrowed

    # -- strings ---------------------------------------------------------------------------------------------

    def literals(self) -> tuple[AddressRange, ...]:
        """The ranges that stand in a filter as they are."""
        return () if self.by_node else self.spec.ranges

    @property
    def shows_wildcard(self) -> bool:
        return self.spec.wildcard and not self.by_node

    @property
    def shows_everything(self) -> bool:
        return self.spec.everything and not self.by_node

    def is_empty(self) -> bool:
        """Whether the set has no source strings at all."""
        return not (self.nodes or self.literals() or self.shows_wildcard or self.shows_everything)

    def addresses_of(self, table: NodeTable, index: int) -> Iterable[str]:
        if self.whole >> index & 1:
            return table.strings(index)
        node = table.by_index[index]
        return (
            text
            for text, (version, number) in zip(table.strings(index), node_addresses(node), strict=True)
            if any(item.holds(version, number) for item in self.spec.ranges)
        )

    def drop_node_strings(self, table: NodeTable, index: int) -> None:
        """Before a node leaves or changes: take its strings out while its addresses are still known."""
        if self._strings is None or not self._strings_of >> index & 1:
            return
        for text in self.addresses_of(table, index):
            at = bisect_left(self._strings, text)
            if at < len(self._strings) and self._strings[at] == text:
                del self._strings[at]
        self._strings_of &= ~(1 << index)

    def strings(self, table: NodeTable, routes: Iterable[str]) -> tuple[str, ...]:
        """The set as source strings: distinct, sorted bytewise.

        Args:
            routes: approved subnet routes, which `*` lists beside the tailnet's own ranges.
        """
        if self._tuple is not None:
            return self._tuple
        if self.shows_everything:
            self._tuple = ("*",)
            return self._tuple
        # A set of thousands of nodes changes by one; the sorted list is patched, not rebuilt.
        fresh = self.nodes & ~self._strings_of
        if self._strings is None or fresh.bit_count() > 64:
            self._strings = sorted(
                text for index in bits(self.nodes) for text in self.addresses_of(table, index)
            )
        else:
            for index in bits(fresh):
                for text in self.addresses_of(table, index):
                    insort(self._strings, text)
        self._strings_of = self.nodes
        fixed = {item.text for item in self.literals()}
        if self.shows_wildcard:
            fixed.update(item.text for item in TAILNET)
            fixed.update(routes)
        self._tuple = tuple(self._strings) if not fixed else tuple(sorted(fixed.union(self._strings)))
        return self._tuple

    def content_key(self, table: NodeTable, routes: Mapping[str, object]) -> tuple[object, ...] | None:
        """Equal for two sets exactly when their source strings are equal; None when there are none.

        A bare address and a node with that address are spelled alike, so addresses that belong to nodes of
        the set are left out, and nodes all of whose addresses are given as such are counted in.
        """
        if self.is_empty():
            return None
        if self.shows_everything:
            return ("*",)
        singles = {(item.version, item.first) for item in self.literals() if item.single}
        whole = self.whole
        for version, number in singles:
            for index in bits(table.at(version, number) & ~whole):
                if all(address in singles for address in node_addresses(table.by_index[index])):
                    whole |= 1 << index
        loose = set()
        for item in self.literals():
            if item.single and table.at(item.version, item.first) & whole:
                continue
            if not (self.shows_wildcard and item.text in routes):
                loose.add(item.text)
        partial = frozenset(
            text for index in bits(self.narrowed & ~whole) for text in self.addresses_of(table, index)
        )
        return (whole, frozenset(loose) | partial, self.shows_wildcard)

    def overlaps(self, item: AddressRange, inside: int) -> bool:
        """Whether the set meets a range; `inside` is the bit set of nodes with an address in that range."""
        if self.shows_everything or self.shows_wildcard or self.nodes & inside:
            return True
        return any(item.overlaps(other) for other in self.literals())
