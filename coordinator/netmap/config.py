"""The parts of a map that come from the server's configuration, in the shape the builders want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coordinator.tailcfg.derp_map import DERPMap
from coordinator.tailcfg.dns_config import DNSConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DialCandidate:
    """One line of a ControlDialPlan:

    dial this address after `start_delay` seconds for at most `timeout` seconds.
    """

    ip: str
    start_delay: float
    timeout: float
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapConfig:
    """What every map carries.

    `derp_map` is for clients that can pin certificates, `derp_map_unpinned` for older ones. `base_domain` has
    no trailing dot, "" when MagicDNS is off and none is set. `capabilities` are given to every node besides
    the policy's.
    """

    base_domain: str
    derp_map: DERPMap
    derp_map_unpinned: DERPMap
    dns: DNSConfig
    capabilities: Mapping[str, Sequence[object] | None] = field(default_factory=dict)
    disable_logtail: bool = True
    dial_plan: Sequence[DialCandidate] = ()

    def relays(self, *, pinning: bool) -> DERPMap:
        """The DERP map for a client that can, or cannot, pin certificates."""
        return self.derp_map if pinning else self.derp_map_unpinned

    @property
    def domain(self) -> str:
        """The tailnet's name as clients show it; an empty one would mean "unchanged"."""
        return self.base_domain or "tailnet"

    def fqdn(self, given_name: str) -> str:
        """A node's full name, with the trailing dot clients need to find the MagicDNS suffix."""
        return f"{given_name}.{self.base_domain}." if self.base_domain else f"{given_name}."


def staggered_dial_plan(ip: str) -> tuple[DialCandidate, ...]:
    """The server's own address several times, ever later.

    A client whose connection attempt is refused otherwise sits out its whole 10 s dial time; with this plan
    it is back with the first candidate after the server is up again. All have one priority: with falling
    priorities 1.80.3 waits for every better candidate to fail first. Observed with 1.80.3 and 1.102.3.
    """
    delays = (0, 1, 2, 3, 4, 5, 7, 9)
    return tuple(DialCandidate(ip=ip, start_delay=float(delay), timeout=2.0, priority=1) for delay in delays)
