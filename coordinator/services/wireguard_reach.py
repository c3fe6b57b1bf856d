"""What a plain WireGuard peer may reach: its profile as the policy is now, for the gateway and the device."""

from __future__ import annotations

from acl import AccessProfile, Policy
from coordinator.services.policy import PolicyService
from coordinator.tailnet.errors import InvalidError
from coordinator.wireguard.model import Peer
from coordinator.wireguard.profile_rules import Machines, Reach, UnsupportedProfileError, profile_reach
from coordinator.wireguard.wire import Rule

NOTHING = Reach()


class WireGuardReach:
    """Reach by profile, made once for each policy.

    Args:
        policy: The policy as written.
        machines: From selectors that mean machines of the tailnet to their addresses.
    """

    def __init__(self, policy: PolicyService, machines: Machines) -> None:
        self._policy = policy
        self._machines = machines
        self._made_for: Policy | None = None
        self._made: dict[str, Reach] = {}

    def refresh(self) -> bool:
        """Forget what another policy said; whether there was something to forget."""
        written = self._policy.written
        if written is self._made_for:
            return False
        self._made_for, self._made = written, {}
        return True

    def of(self, peer: Peer) -> Reach:
        """Rules and routes; nothing for a profile that is gone, or that gateways cannot hold anybody to."""
        if not peer.profile:
            return NOTHING
        self.refresh()
        found = self._made.get(peer.profile)
        if found is None:
            try:
                found = self._reach(peer.profile)
            except UnsupportedProfileError:
                # Said when the peer was made; a profile that was edited since then opens nothing more.
                found = NOTHING
            self._made[peer.profile] = found
        return found

    def inbound(self, peer: Peer) -> tuple[Rule, ...]:
        """Who may reach the peer; profiles only speak of what people reach."""
        return ()

    def require_supported(self, profile: AccessProfile) -> None:
        """A gateway can hold a peer to this profile.

        Raises:
            InvalidError: it cannot, and why.
        """
        try:
            self._reach(profile.name.text)
        except UnsupportedProfileError as error:
            raise InvalidError(str(error)) from error

    def _reach(self, name: str) -> Reach:
        written = self._policy.written
        for profile in written.access_profiles if written is not None else ():
            if written is not None and profile.name.text == name:
                return profile_reach(written, profile, self._machines)
        return NOTHING
