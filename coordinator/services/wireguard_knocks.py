"""Who knocks at a gateway without a window: peers outside of theirs, and keys nobody knows.

A knock is the beginning of a handshake, proven to come from the holder of the key. A device whose app stays
on knocks for hours, so what is told is the *episode*: knocks of one key of which none is an hour after the
one before, ended by the opening of a window. It is one alert, whatever its length. Kept in memory: after a
restart of the server an episode that goes on is told once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from coordinator.services.wireguard_alerts import Alert
from coordinator.services.wireguard_sightings import MAX_COUNT, MAX_ENDPOINT, TOLERANCE
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.wireguard.keys import KeyTextError, parse_public_key
from coordinator.wireguard.model import Gateway, Peer
from coordinator.wireguard.wire import Knocked

EPISODE = timedelta(hours=1)
"""A silence that ends an episode."""
MAX_KNOCKS = 200
"""Of one report."""
MAX_STRANGERS = 10
"""Unknown keys of one gateway that are told in an hour; whoever knows its public key can make up more."""
REMEMBERED = 2000
"""Episodes; the oldest go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knocking:
    """An episode."""

    gateway_id: int
    since: datetime
    last: datetime
    endpoint: str
    count: int

    def over(self, now: datetime) -> bool:
        """Whether another knock now would begin the next."""
        return now - self.last >= EPISODE


@dataclass(slots=True, kw_only=True)
class Heard:
    """What a report brings: alerts to raise, and, once they are, what to `keep`."""

    alerts: list[Alert] = field(default_factory=list)
    episodes: dict[str, Knocking] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    strangers: int = 0


class WireGuardKnocks:
    """Episodes by public key."""

    def __init__(self, wishes: WireGuardWishes) -> None:
        self._wishes = wishes
        self._episodes: dict[str, Knocking] = {}
        self._strangers: dict[int, deque[datetime]] = {}

    def of_peer(self, peer: Peer, now: datetime) -> Knocking | None:
        """The episode that goes on; None when there is none, or the peer may come in."""
        if self._wishes.is_admitted(peer.id):
            return None
        found = [each for key in peer.keys if (each := self._episodes.get(key.public_key)) is not None]
        return max((each for each in found if not each.over(now)), key=lambda each: each.last, default=None)

    def hear(
        self, gateway: Gateway, knocks: tuple[Knocked, ...], holders: Mapping[str, Peer], now: datetime
    ) -> Heard:
        """What is new in the knocks of a report; nothing is changed before `keep`."""
        heard = Heard()
        for knock in knocks[:MAX_KNOCKS]:
            try:
                key = parse_public_key(knock.public_key)
            except KeyTextError:
                continue
            if knock.at.tzinfo is None:
                continue
            peer, at = holders.get(key), min(knock.at, now)
            if peer is not None and self._expected(peer, at):
                heard.over.add(key)
                continue
            before = heard.episodes.get(key) or self._running(key, peer, at)
            endpoint = knock.endpoint[:MAX_ENDPOINT]
            count = min(max(1, knock.count), MAX_COUNT)
            episode = Knocking(gateway_id=gateway.id, since=at, last=at, endpoint=endpoint, count=count)
            if before is not None:
                last = max(before.last, at)
                episode = replace(episode, since=before.since, last=last, count=before.count + count)
            elif peer is not None:
                heard.alerts.append(_outside(peer, key, episode, gateway))
            else:
                heard.alerts += self._stranger(gateway, key, episode, heard)
            heard.episodes[key] = episode
        return heard

    def begun(self, key: str, gateway: Gateway, endpoint: str, now: datetime) -> None:
        """A handshake outside of its window was told: what knocks follow belong to it."""
        episode = Knocking(gateway_id=gateway.id, since=now, last=now, endpoint=endpoint, count=1)
        self._episodes.setdefault(key, episode)

    def keep(self, gateway: Gateway, heard: Heard, now: datetime) -> None:
        """The alerts were raised."""
        for key in heard.over:
            self._episodes.pop(key, None)
        for key, episode in heard.episodes.items():
            # The newest are the last of the dictionary.
            self._episodes.pop(key, None)
            self._episodes[key] = episode
        while len(self._episodes) > REMEMBERED:
            del self._episodes[next(iter(self._episodes))]
        if heard.strangers:
            told = self._strangers.setdefault(gateway.id, deque(maxlen=MAX_STRANGERS + 1))
            told.extend([now] * heard.strangers)

    # inner

    def _expected(self, peer: Peer, at: datetime) -> bool:
        """Whether the peer may come in by now, or its window had only just ended."""
        closed = self._wishes.left_at(peer.id)
        recently = closed is not None and at <= closed + TOLERANCE
        return recently or self._wishes.is_admitted(peer.id)

    def _running(self, key: str, peer: Peer | None, at: datetime) -> Knocking | None:
        """The episode a knock belongs to; None when it begins one: also after a window."""
        found = self._episodes.get(key)
        closed = self._wishes.left_at(peer.id) if peer is not None else None
        if found is None or found.over(at) or (closed is not None and found.last <= closed):
            return None
        return found

    def _stranger(self, gateway: Gateway, key: str, episode: Knocking, heard: Heard) -> list[Alert]:
        told = self._strangers.get(gateway.id, ())
        recent = sum(episode.last - at < EPISODE for at in told) + heard.strangers
        if recent > MAX_STRANGERS:
            return []
        heard.strangers += 1
        detail = f"a handshake with a key nobody knows, from {episode.endpoint or 'somewhere'}"
        if recent == MAX_STRANGERS:
            detail, key = (
                f"more than {MAX_STRANGERS} unknown keys within an hour; more are not told singly",
                "",
            )
        return [
            Alert(kind="unknown-key", detail=detail, target=gateway.key, name=gateway.name, public_key=key)
        ]


def _outside(peer: Peer, key: str, episode: Knocking, gateway: Gateway) -> Alert:
    where = episode.endpoint or "somewhere"
    when = episode.last.isoformat()
    detail = f"a handshake was tried at {gateway.name} at {when} from {where}, not open then"
    return Alert(kind="outside-window", detail=detail, target=peer.key, name=peer.name, public_key=key)
