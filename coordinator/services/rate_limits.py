"""Limits on failed attempts, by client address and by machine key.

Only failures cost anything: thousands of machines that join from one address with good keys are never slowed
down. A wrong guess (an unknown key, a login page nobody waits under, a login begun) costs its address and its
machine; a key that was genuine but is spent costs only the machine, so that one stale CI job does not shut
out its neighbours behind the same NAT. Attempts that were turned away cost nothing more: who waits, gets in.

Token buckets that are full again are forgotten, and there are at most `MOST_BUCKETS` of each kind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from coordinator.tailcfg.keys import MachineKey
from coordinator.tailnet.errors import RateLimitedError
from coordinator.telemetry.metrics import METRICS

MOST_BUCKETS = 10_000
"""About 2 MB for each kind at most."""
LONGEST_WAIT = 3600
"""Clients disregard a longer Retry-After. Source: tailscale control/controlclient/direct.go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """How many failures at once, and how many more a minute."""

    enabled: bool = True
    address_burst: int = 300
    address_per_minute: int = 60
    machine_burst: int = 20
    machine_per_minute: int = 20


class TokenBuckets:
    """Buckets by name, bounded in number.

    Args:
        burst: Tokens of a full bucket, at least 1.
        per_minute: Tokens that come back, at least 1.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self, burst: int, per_minute: int, monotonic: Callable[[], float], most: int = MOST_BUCKETS
    ) -> None:
        self._burst = burst
        self._rate = per_minute / 60
        self._monotonic = monotonic
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, name: str) -> float:
        """Seconds until the bucket has a token; 0 when it has one."""
        missing = 1 - self._tokens(name)
        return max(0.0, missing / self._rate)

    def take(self, name: str) -> None:
        """Take a token, if there is one; the least recently used buckets make room."""
        self._buckets[name] = (max(0.0, self._tokens(name) - 1), self._monotonic())
        self._buckets.move_to_end(name)
        while self._buckets:
            oldest = next(iter(self._buckets))
            if len(self._buckets) <= self._most and self._tokens(oldest) < self._burst:
                return
            del self._buckets[oldest]

    def _tokens(self, name: str) -> float:
        tokens, at = self._buckets.get(name, (float(self._burst), 0.0))
        return min(float(self._burst), tokens + (self._monotonic() - at) * self._rate)


class RateLimits:
    """The limits of one server."""

    def __init__(self, settings: RateLimitSettings, monotonic: Callable[[], float]) -> None:
        self._enabled = settings.enabled
        self._addresses = TokenBuckets(settings.address_burst, settings.address_per_minute, monotonic)
        self._machines = TokenBuckets(settings.machine_burst, settings.machine_per_minute, monotonic)

    def check(self, kind: str, remote: str, machine_key: MachineKey | None = None) -> None:
        """Turn an attempt away after too many failures.

        Args:
            kind: What is attempted, for the metric: `register` or `page`.
            remote: Address of the client; empty when unknown, which is then not limited.
            machine_key: Its machine key, if it has proven one.

        Raises:
            RateLimitedError: says when to come again.
        """
        if not self._enabled:
            return
        wait, scope = 0.0, ""
        if remote:
            wait, scope = self._addresses.wait(network_of(remote)), "address"
        if machine_key is not None and (longer := self._machines.wait(machine_key)) > wait:
            wait, scope = longer, "machine"
        if wait > 0:
            METRICS.rate_limited.labels(kind=kind, scope=scope).inc()
            seconds = min(LONGEST_WAIT, max(1, ceil(wait)))
            raise RateLimitedError(
                f"too many failed attempts from this {scope}; try again in {seconds} s", seconds
            )

    def failed(self, remote: str, machine_key: MachineKey | None = None) -> None:
        """An attempt failed: it costs the address and the machine; leave out whom it shall not cost."""
        if not self._enabled:
            return
        if remote:
            self._addresses.take(network_of(remote))
        if machine_key is not None:
            self._machines.take(machine_key)


def network_of(remote: str) -> str:
    """What stands for one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ip_address(remote)
    except ValueError:
        return remote
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))
