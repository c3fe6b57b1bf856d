"""What access profiles and open windows mean for one connection that no rule of the policy allows.

Here: the open window that lets it through, and the profiles that could. Called by `explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acl.addresses import Version
from acl.compile import RuleKind
from acl.document import AccessProfile
from acl.facts import NodeFact
from acl.nodes import bits
from acl.policy_tests import spec_holds
from acl.problems import Span
from acl.profiles import approvals_needed
from acl.windows import OpenWindow, WindowRules

if TYPE_CHECKING:
    from acl.engine import Engine
    from acl.index import PolicyIndex

__all__ = ["ProfileHint", "opened_by", "profile_hints"]

Address = tuple[Version, int]
Pair = tuple[Address, Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHint:
    """A profile that would open a connection.

    Attributes:
        span: where it stands.
        src: who may ask for it. eligible: whether the source's own user may.
        approvers: who approves; empty: nobody has to.
        approvals: how many of them.
    """

    name: str
    span: Span
    src: tuple[str, ...]
    eligible: bool
    approvers: tuple[str, ...]
    approvals: int

    def sentence(self, place: str) -> str:
        """What the hint comes to; `place` says where the profile stands."""
        agreed = "nobody has to approve"
        if self.approvals:
            count = f"{self.approvals} of " if self.approvals > 1 else ""
            agreed = f"approved by {count}{', '.join(self.approvers)}"
        through = f"through profile `{self.name}` ({place})"
        if self.eligible:
            return f"not now, but {through}, {agreed}"
        return f"not now, and {through} only {', '.join(self.src) or 'nobody'} may ask"


def _opens(
    engine: Engine, rules: WindowRules, destination: Address, port: int, protocols: Sequence[int]
) -> bool:
    for template in rules.network:
        if template.kind is not RuleKind.PORTS:
            continue
        if template.protocols and not set(template.protocols) & set(protocols):
            continue
        for target in template.targets:
            if any(part.first <= port <= part.last for part in target.ports) and spec_holds(
                engine, target.spec, None, destination, source=False
            ):
                return True
    return False


def _nodes_at(engine: Engine, address: Address) -> Iterator[NodeFact]:
    return (engine.nodes.by_index[index] for index in bits(engine.nodes.at(*address)))


def opened_by(
    index: PolicyIndex, pairs: Iterable[Pair], port: int, protocols: Sequence[int]
) -> OpenWindow | None:
    """The first open window that lets one of some sources reach its destination."""
    engine = index.engine
    for source, destination in pairs:
        for window in index.windows.values():
            rules = engine.window_rules.get(window.profile)
            if rules is None or not _opens(engine, rules, destination, port, protocols):
                continue
            for node in _nodes_at(engine, source):
                fit = not rules.postures or not engine.postures_of(node).isdisjoint(rules.postures)
                if fit and node.id in window.nodes:
                    return window
    return None


def profile_hints(
    index: PolicyIndex, pairs: Iterable[Pair], port: int, protocols: Sequence[int]
) -> tuple[ProfileHint, ...]:
    """The profiles that would let a source reach its destination; those it may ask for come first."""
    policy = index.policy
    found: dict[str, ProfileHint] = {}
    for source, destination in pairs:
        owners = {node.owner for node in _nodes_at(index.engine, source)} - {None}
        for profile in policy.access_profiles if policy is not None else ():
            name, rules = profile.name.text, index.engine.window_rules[profile.name.text]
            if name in found and found[name].eligible:
                continue
            if _opens(index.engine, rules, destination, port, protocols):
                src = [word.text for word in profile.src]
                eligible = any(index.means_user(src, owner) for owner in owners if owner is not None)
                found[name] = _hint(profile, eligible=eligible)
    return tuple(sorted(found.values(), key=lambda hint: not hint.eligible))


def _hint(profile: AccessProfile, *, eligible: bool) -> ProfileHint:
    return ProfileHint(
        name=profile.name.text,
        span=profile.span,
        src=tuple(word.text.strip() for word in profile.src),
        eligible=eligible,
        approvers=tuple(word.text.strip() for word in profile.approvers),
        approvals=approvals_needed(profile),
    )
