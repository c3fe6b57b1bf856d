"""Open windows of just-in-time access, and what the profile of one comes to in rules.

Here: `OpenWindow`, and `WindowRules`: the compiled rules of a profile, but for whom they open. Not here:
putting them in force (`overlay`), and who may have a window open (the server knows the requests). Made by
`engine`, once for each profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from acl.compile import NO_PEERS, Origin, Peers, RuleTemplate, SetSpec, SpecMaker, compile_rules
from acl.document import AccessProfile, Policy, SshEntry, Word
from acl.facts import TailnetFacts
from acl.problems import Span
from acl.profiles import profile_login, profile_rules
from acl.selectors import parse_selector

__all__ = ["OpenWindow", "WindowRules", "all_templates", "window_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindow:
    """A window that is open.

    Attributes:
        id: of the request it came from; windows stand in this order.
        nodes: ids of the machines it is open for, sorted; those that are not present count for nothing.
        closes_at: when it closes by itself, if nothing happens before; SSH clients are told.
    """

    id: int
    profile: str
    nodes: tuple[int, ...]
    closes_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRules:
    """What one profile opens.

    Attributes:
        span: where the profile stands.
        network: its rules, in order; their source and ordinals are to be filled in.
        login: its SSH entry, without sources.
        postures: any one of these must hold on the source.
    """

    profile: str
    span: Span
    network: tuple[RuleTemplate, ...]
    login: SshEntry | None
    postures: tuple[str, ...]

    def templates(self, source: SetSpec, first: int) -> Iterator[RuleTemplate]:
        """The network rules for one source, with ordinals from `first`."""
        origin = Origin(section=f"access.profiles[{self.profile}]", number=0, span=self.span, sources=())
        for ordinal, template in enumerate(self.network, start=first):
            yield replace(template, ordinal=ordinal, source=source, origin=origin)


def peer_templates(
    found: Mapping[str, WindowRules], facts: TailnetFacts, maker: SpecMaker, first: int
) -> Iterator[RuleTemplate]:
    """The rules of the profiles that are open for WireGuard peers, which are no nodes a window could be for.

    Nobody can show a posture there, so a profile that wants one opens nothing.
    """
    for name, profile in sorted(facts.peer_profiles.items()):
        rules = found.get(profile)
        if rules is None or rules.postures:
            continue
        source = maker.spec([parse_selector(f"wg:{name}")])
        for template in rules.templates(source, first):
            first += 1
            yield replace(template, origin=replace(template.origin, sources=(f"wg:{name}",)))


def all_templates(
    policy: Policy | None, facts: TailnetFacts
) -> tuple[tuple[RuleTemplate, ...], dict[str, WindowRules]]:
    """Every rule in force but those of open windows, in order; and what each profile opens."""
    written = compile_rules(policy, facts.peers)
    profiles = window_rules(policy, facts.peers)
    maker = SpecMaker(Policy() if policy is None else policy, facts.peers)
    return (*written, *peer_templates(profiles, facts, maker, len(written))), profiles


def window_rules(policy: Policy | None, peers: Peers = NO_PEERS) -> dict[str, WindowRules]:
    """The rules of every profile of a policy that passed its checks, by name.

    A policy that allows everything leaves nothing to open but logins. `peers` are the facts' WireGuard peers.
    """
    if policy is None:
        return {}
    allows_all = policy.acls is None and policy.grants is None
    hosts = policy.host_addresses()
    return {
        profile.name.text: _window_rules(profile, policy, hosts, peers, allows_all=allows_all)
        for profile in policy.access_profiles
    }


def _window_rules(
    profile: AccessProfile, policy: Policy, hosts: dict[str, str], peers: Peers, *, allows_all: bool
) -> WindowRules:
    acls, grants = profile_rules(profile, (Word("*", profile.span),), hosts)
    own = profile.src_posture or policy.default_src_posture
    return WindowRules(
        profile=profile.name.text,
        span=profile.span,
        network=() if allows_all else compile_rules(replace(policy, acls=acls, grants=grants), peers),
        login=profile_login(profile, ()),
        postures=tuple(sorted({word.text.strip() for word in own})),
    )
