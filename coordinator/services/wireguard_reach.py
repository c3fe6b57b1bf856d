"""What a plain WireGuard peer may reach, and who may reach it, as the policy is now.

Two things say so: the profile the peer is there for, and, behind a gateway that is a node of the tailnet, the
policy's own rules, which may speak of the peer as `wg:name`.
"""

from __future__ import annotations

from acl import AccessProfile, Policy, ReachRule
from acl.ports import DEFAULT_PROTOCOLS
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.tailnet.errors import InvalidError
from coordinator.wireguard.model import Peer
from coordinator.wireguard.pools import host_prefix
from coordinator.wireguard.profile_rules import (
    Reach,
    UnsupportedProfileError,
    collapsed,
    no_machines,
    profile_reach,
    wire_protocol,
    with_name_servers,
)
from coordinator.wireguard.wire import Rule

NOTHING = Reach()


class WireGuardReach:
    """Reach by peer, made anew only when the policy, or who is in the tailnet, is another.

    Args:
        policy: The policy as written, for profiles.
        tailnet: The rules in force, and the nodes they mean.
        book: The gateways.
        networks: Those of the tailnet, as CIDRs.
    """

    def __init__(
        self, policy: PolicyService, tailnet: Tailnet, book: WireGuardBook, networks: tuple[str, ...]
    ) -> None:
        self._policy = policy
        self._tailnet = tailnet
        self._book = book
        self.networks = networks
        self._made_for: tuple[Policy | None, int] = (None, 0)
        self._profiles: dict[tuple[str, bool], Reach] = {}
        self._rules: dict[int, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {}

    def refresh(self) -> bool:
        """Forget what counts no more; whether there was something to forget."""
        structure = self._tailnet.world.structure_seq if self._any_inside() else 0
        if (self._policy.written, structure) == self._made_for:
            return False
        self._made_for = (self._policy.written, structure)
        self._profiles, self._rules = {}, {}
        return True

    def inside(self, peer: Peer) -> bool:
        """Whether the peer's gateway is a node of the tailnet."""
        gateway = self._book.gateways.get(peer.gateway_id)
        return gateway is not None and gateway.tailnet

    def of(self, peer: Peer) -> Reach:
        """Rules, and routes for the device; with the name servers of its gateway, where they are inside."""
        self.refresh()
        found, gateway = self._of(peer), self._book.gateways.get(peer.gateway_id)
        return found if gateway is None else with_name_servers(found, gateway.dns)

    def _of(self, peer: Peer) -> Reach:
        """What profile and rules open.

        A device gets a route to the whole tailnet where rules speak of it: nodes come and go, and its file
        stays. What it may reach there is for the gateway and the nodes to hold it to.
        """
        found = self._profile(peer)
        if not self.inside(peer):
            return found
        rules = tuple(dict.fromkeys((*found.rules, *self._both(peer)[0])))
        routes = found.routes
        if self._spoken_of(peer):
            # A node that hides who comes through it (tailscale's --snat-subnet-routes) shows its own address.
            own = map(host_prefix, self._book.gateways[peer.gateway_id].addresses)
            routes = collapsed({*routes, *self.networks, *own})
        return Reach(rules=rules, routes=routes)

    def inbound(self, peer: Peer) -> tuple[Rule, ...]:
        """Who may reach the peer; profiles only speak of what people reach."""
        return self._both(peer)[1] if self.inside(peer) else ()

    def require_supported(self, profile: AccessProfile, policy: Policy | None) -> None:
        """A gateway can hold a peer to this profile of a policy.

        Raises:
            InvalidError: it cannot, and why.
        """
        try:
            self._reach(policy, profile.name.text, inside=False)
        except UnsupportedProfileError as error:
            raise InvalidError(str(error)) from error

    def _any_inside(self) -> bool:
        return any(gateway.tailnet for gateway in self._book.gateways.values())

    def _profile(self, peer: Peer) -> Reach:
        """Nothing for a profile that is gone, or that gateways cannot hold anybody to."""
        if not peer.profile:
            return NOTHING
        key = (peer.profile, self.inside(peer))
        found = self._profiles.get(key)
        if found is None:
            try:
                found = self._reach(self._policy.written, *key)
            except UnsupportedProfileError:
                # Said when the peer was made; a profile that was edited since then opens nothing more.
                found = NOTHING
            self._profiles[key] = found
        return found

    def _reach(self, written: Policy | None, name: str, inside: bool) -> Reach:
        index = self._tailnet.world.policy
        for profile in written.access_profiles if written is not None else ():
            if written is not None and profile.name.text == name:
                machines = index.machines if inside else no_machines
                return profile_reach(written, profile, machines, index.facts.peers)
        return NOTHING

    def _both(self, peer: Peer) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
        found = self._rules.get(peer.id)
        if found is None:
            reach = self._tailnet.world.policy.reach(peer.name)
            found = self._rules[peer.id] = (_rules(reach.outbound), _rules(reach.inbound))
        return found

    def _spoken_of(self, peer: Peer) -> bool:
        """Whether some rule names the peer, be it open now or not."""
        written, name = self._policy.written, f"wg:{peer.name}"
        if written is None:
            return False
        words = [word.text for acl in written.acls or () for word in (*acl.src, *acl.dst)]
        words += [word.text for grant in written.grants or () for word in (*grant.src, *grant.dst)]
        return any(text.strip() == name or text.strip().startswith(f"{name}:") for text in words)


def _rules(found: tuple[ReachRule, ...]) -> tuple[Rule, ...]:
    """As the gateway knows them; what it has no word for it cannot let pass."""
    rules: dict[Rule, None] = {}
    for each in found:
        protocols = each.protocols or DEFAULT_PROTOCOLS
        if set(DEFAULT_PROTOCOLS) <= set(protocols) and not each.ports:
            rules[Rule(networks=each.networks)] = None
            continue
        for number in protocols:
            protocol = wire_protocol(number)
            if protocol is not None:
                ports = () if protocol == "icmp" else each.ports
                rules[Rule(networks=each.networks, proto=protocol, ports=ports)] = None
    return tuple(rules)
