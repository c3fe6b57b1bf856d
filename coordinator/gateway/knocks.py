"""Who knocked at this gateway, where from, and what of it is to be told. Pure: time is passed in.

WireGuard drops a handshake of a key that is not on the interface without a word, and the device tries again
after five seconds. Whoever knows that it knocked, and from where, can begin the handshake from this side the
moment its window opens.

Everybody can send packets, so every step is bounded: one hash for what does not know the gateway's public
key; a number of openings a second for what does; a number of keys that are remembered, of which those the
gateway knows from wishes go last; a number of keys in a report. A replayed initiation is no knock: its
timestamp has to be newer than any of its key before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from coordinator.gateway.initiation import Lock
from coordinator.gateway.packets import Datagram
from coordinator.gateway.seen import Peer, Seen
from coordinator.gateway.target import Target
from coordinator.wireguard.wire import Knocked

LATELY = timedelta(seconds=180)
"""How long a knock is worth an answer: a device gives up after 90 s, and begins anew with its next packet."""
RETURNS = timedelta(hours=1)
"""How long the endpoint of a peer that went is worth a try when it comes again."""
QUIET = timedelta(minutes=1)
"""How often one key is told."""
OPENINGS_PER_SECOND = 100
MOST_KEYS = 4096
MOST_TOLD = 100
"""Keys in one report."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LINK_LOCAL = "[fe80:"


@dataclass(slots=True)
class _Caller:
    """A key: its newest timestamp, where it is by interface (until when that counts), what is to be told."""

    timestamp: bytes = b""
    places: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    endpoint: str = ""
    at: datetime = _LONG_AGO
    count: int = 0
    told_at: datetime = _LONG_AGO


@dataclass(slots=True)
class _Allowance:
    """So many a second, and as many at once."""

    left: float = OPENINGS_PER_SECOND
    at: datetime = _LONG_AGO

    def take(self, now: datetime) -> bool:
        passed = max(0.0, (now - self.at).total_seconds())
        self.left = min(OPENINGS_PER_SECOND, self.left + passed * OPENINGS_PER_SECOND)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Knocks:
    """The book of them, in memory; a restart begins a new one."""

    def __init__(self) -> None:
        self._locks: Mapping[int, tuple[str, Lock]] = {}
        self._callers: dict[str, _Caller] = {}
        self._known: Collection[str] = frozenset()
        self._open: Collection[str] = frozenset()
        self._allowance = _Allowance()

    @property
    def ports(self) -> tuple[int, ...]:
        """On which something is to be heard."""
        return tuple(sorted(self._locks))

    def expect(self, locks: Mapping[int, tuple[str, Lock]], known: Collection[str]) -> None:
        """Which keys of the gateway there are, (interface, lock) by port, and who is known from wishes."""
        self._locks, self._known = locks, known

    def opened(self, keys: Collection[str]) -> None:
        """Whose windows are open: their handshakes are nothing to tell."""
        self._open = keys

    def take(self, packet: Datagram, now: datetime) -> bool:
        """Look at a packet; whether it was a knock."""
        name, lock = self._locks.get(packet.port, ("", None))
        if lock is None or not lock.fits(packet.data) or not self._allowance.take(now):
            return False
        opened = lock.open(packet.data)
        if opened is None:
            return False
        caller = self._caller(opened.public_key)
        if opened.timestamp <= caller.timestamp:
            return False
        caller.timestamp = opened.timestamp
        caller.places[name] = (packet.endpoint, now + LATELY)
        if opened.public_key not in self._open:
            caller.endpoint, caller.at, caller.count = packet.endpoint, now, caller.count + 1
        return True

    def departed(self, before: Seen, seen: Seen, wanted: Target, now: datetime) -> None:
        """Remember the endpoints of peers that go, or are gone.

        Args:
            before: the last look.
            seen: the look of now.
            wanted: who is to stay.
            now: the server's time.
        """
        for name in {*before.wireguard, *seen.wireguard}:
            present = seen.wireguard[name].peers if name in seen.wireguard else {}
            missed = before.wireguard[name].peers if name in before.wireguard else {}
            staying = wanted.peers.get(name, {})
            for key, peer in present.items():
                if key not in staying:
                    self._place(name, key, peer, now)
                elif key in self._callers:
                    # WireGuard itself knows better.
                    self._callers[key].places.pop(name, None)
            for key, peer in missed.items():
                known = key in self._callers and name in self._callers[key].places
                # What is known already is from a knock since that look.
                if key not in present and not known:
                    self._place(name, key, peer, now)

    def _place(self, name: str, key: str, peer: Peer, now: datetime) -> None:
        if key in self._known and peer.endpoint and peer.latest_handshake:
            self._caller(key).places[name] = (peer.endpoint, now + RETURNS)

    def endpoints(self, now: datetime) -> dict[tuple[str, str], str]:
        """Where devices are, as far as is known, by (interface, public key)."""
        return {
            (name, key): endpoint
            for key, caller in self._callers.items()
            for name, (endpoint, until) in caller.places.items()
            # Without its interface such an address says nothing.
            if now < until and not endpoint.startswith(_LINK_LOCAL)
        }

    def to_tell(self, now: datetime) -> tuple[Knocked, ...]:
        """What the next report carries: keys that were told longer than a minute ago, or never."""
        due = [
            (key, caller)
            for key, caller in self._callers.items()
            if caller.count and not timedelta() <= now - caller.told_at < QUIET
        ]
        # Of too many, those that are known, and of others who knocks again: keys made up for a flood do not.
        due.sort(key=lambda entry: (entry[0] not in self._known, -entry[1].count))
        return tuple(
            Knocked(public_key=key, endpoint=caller.endpoint, at=caller.at, count=caller.count)
            for key, caller in due[:MOST_TOLD]
        )

    def told(self, knocks: tuple[Knocked, ...], now: datetime) -> None:
        """A report with these was answered; what came meanwhile stays."""
        for knock in knocks:
            caller = self._callers.get(knock.public_key)
            if caller is not None:
                caller.count -= min(caller.count, knock.count)
                caller.told_at = now

    def _caller(self, key: str) -> _Caller:
        """In the order of their last knocks; the first strangers go when there are too many."""
        caller = self._callers.pop(key, None) or _Caller()
        while len(self._callers) >= MOST_KEYS:
            stranger = next(self._strangers(), None)
            if stranger is None:
                break
            del self._callers[stranger]
        self._callers[key] = caller
        return caller

    def _strangers(self) -> Iterator[str]:
        return (key for key in self._callers if key not in self._known)
