"""What gateways report of themselves and their peers: kept in memory, stored now and then, noticed at once.

What is volatile (handshakes, endpoints, bytes) is lost by a crash since the last `save` at most, and reported
again. What is noticed (connected, gone, moved, a key nobody wished for) is an entry of the audit log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_alerts import Alert, WireGuardAlerts
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_knocks import WireGuardKnocks
from coordinator.services.wireguard_sightings import (
    TOLERANCE,
    Step,
    fresh,
    growth,
    sighting,
    steps_of,
    visible,
)
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.telemetry.metrics import METRICS
from coordinator.wireguard.model import Gateway, Peer, Seen
from coordinator.wireguard.wire import Noticed, Report

ACTOR = Actor(kind="system", name="wireguard")
DRIFT = timedelta(seconds=60)
"""How long a gateway may report another version than its wish before that is an alert."""
SILENCE = timedelta(minutes=2)
"""How long a gateway that has peers may say nothing."""
REMEMBERED_EVENTS = 1000
MAX_EVENTS = 200
"""Of one report: a gateway on which somebody adds keys in a loop must not fill the log."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class GatewayState:
    """What is known of a gateway since the server started."""

    last_report: datetime | None = None
    version: str = ""
    agent: str = ""
    skew: timedelta = timedelta()
    events: deque[tuple[str, datetime, str, str]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED_EVENTS)
    )
    drifting_since: datetime | None = None
    told: set[str] = field(default_factory=set)
    """Alerts that are raised once until their cause is gone."""


class WireGuardObservation:
    """The newest of what was seen, by public key, and the state of gateways."""

    def __init__(
        self, tailnet: Tailnet, book: WireGuardBook, wishes: WireGuardWishes, alerts: WireGuardAlerts
    ) -> None:
        self._tailnet = tailnet
        self._book = book
        self._wishes = wishes
        self._alerts = alerts
        self.knocks = WireGuardKnocks(wishes)
        self._seen: dict[str, Seen] = dict(book.seen)
        self._gateways: dict[int, GatewayState] = {}
        self._unsaved: set[str] = set()
        self._since = tailnet.clock()

    def seen(self, public_key: str) -> Seen | None:
        """The newest of a key."""
        return self._seen.get(public_key)

    def of_peer(self, peer: Peer) -> Seen | None:
        """The newest of a peer: of the key with the latest handshake."""
        found = [seen for key in peer.keys if (seen := self._seen.get(key.public_key)) is not None]
        return max(found, key=lambda seen: seen.latest_handshake or LONG_AGO, default=None)

    def gateway(self, gateway_id: int) -> GatewayState:
        """What is known of a gateway; empty before its first report."""
        return self._gateways.setdefault(gateway_id, GatewayState())

    async def take(self, gateway: Gateway, report: Report, *, actor: Actor) -> None:
        """A report came.

        Raises:
            UnavailableError: what was noticed cannot be stored; the gateway reports it again.
        """
        now, state = self._tailnet.clock(), self.gateway(gateway.id)
        holders = self._holders(gateway)
        steps: list[Step] = []
        newest: dict[str, Seen] = {}
        for each in report.peers:
            peer = holders.get(each.public_key)
            if peer is None:
                continue
            before = newest.get(each.public_key) or self._seen.get(each.public_key)
            before = before or Seen(peer_id=peer.id, public_key=each.public_key)
            after = sighting(before, each, peer, now)
            newest[each.public_key] = after
            steps += steps_of(gateway, peer, before, after)
        events = [each for each in report.events if _identity(each) not in state.events][:MAX_EVENTS]
        outside = self._outside(newest, holders)
        told = {alert.public_key for alert in outside}
        knocks = tuple(each for each in report.knocks if each.public_key not in told)
        heard = self.knocks.hear(gateway, knocks, holders, now)
        alerts = [*(_alert(gateway, each) for each in events), *outside, *heard.alerts]
        await self._record(steps, actor)
        await self._alerts.raise_all(alerts, actor)
        for key in told:
            self.knocks.begun(key, gateway, newest[key].endpoint, now)
        self.knocks.keep(gateway, heard, now)
        state.events.extend(_identity(each) for each in events)
        self._keep(newest)
        state.last_report, state.version, state.agent = now, report.version, visible(report.agent[:100])
        state.skew = report.now - now
        state.told.discard("silent-gateway")
        await self._look_at(gateway, state, now)

    async def keys_changed(self, before: Gateway, told: Mapping[str, str], *, actor: Actor) -> None:
        """A gateway has other keys than it had: its disk was lost, or somebody else has its token.

        Raises:
            UnavailableError: it cannot be stored.
        """
        text = "it had the public key {0} for {1}, and has another: devices need their configuration anew"
        alerts = [
            Alert(
                kind="gateway-key-changed",
                detail=text.format(key.public_key, key.key_id),
                target=before.key,
                name=before.name,
                public_key=told[key.key_id],
            )
            for key in before.keys
            if key.public_key and told.get(key.key_id, key.public_key) != key.public_key
        ]
        await self._alerts.raise_all(alerts, actor)

    async def look(self) -> None:
        """Sessions end, and gateways fall silent, without anybody saying so: notice it."""
        now, peers = self._tailnet.clock(), self._book.peers
        over = [
            seen
            for seen in self._seen.values()
            if seen.connected and not fresh(seen.latest_handshake, now) and seen.peer_id in peers
        ]
        await self._record([Step.gone(peers[seen.peer_id], seen) for seen in over], ACTOR)
        self._keep({seen.public_key: replace(seen, connected=False) for seen in over})
        METRICS.wireguard_connected.set(sum(seen.connected for seen in self._seen.values()))
        for gateway in list(self._book.gateways.values()):
            state = self.gateway(gateway.id)
            busy = bool((wish := self._wishes.current(gateway.id)) and wish.peers)
            quiet = now - (state.last_report or self._since) > SILENCE
            if busy and quiet:
                await self._tell(gateway, state, "silent-gateway", "it has peers and says nothing")

    async def save(self) -> None:
        """Store what was seen since the last time; forget what belongs to nobody any more."""
        keys, self._unsaved = self._unsaved, set()
        known = {key.public_key for peer in self._book.peers.values() for key in peer.keys}
        gone = [key for key in self._book.seen if key not in known]
        for key in [key for key in self._seen if key not in known]:
            del self._seen[key]
        records = [self._seen[key] for key in keys if key in self._seen]
        if not records and not gone:
            return

        def command(directory: Directory) -> None:
            for record in records:
                directory.put_wireguard(record, noteworthy=False)
            for key in gone:
                if directory.wireguard.get(f"wgseen:{key}") is not None:
                    directory.delete_wireguard(f"wgseen:{key}", noteworthy=False)

        try:
            await self._tailnet.execute(command)
        except BaseException:
            self._unsaved |= keys
            raise

    # inner

    def _holders(self, gateway: Gateway) -> dict[str, Peer]:
        """Whose a key is on a gateway, living peers before former ones: of others it has nothing to say."""
        here = [peer for peer in self._book.peers.values() if peer.gateway_id == gateway.id]
        here.sort(key=lambda peer: peer.live)
        return {key.public_key: peer for peer in here for key in peer.keys}

    def _keep(self, newest: dict[str, Seen]) -> None:
        for key, seen in newest.items():
            before = self._seen.get(key)
            if before is not None:
                received = growth(before.received_bytes, seen.received_bytes)
                METRICS.wireguard_bytes.labels(direction="received").inc(received)
                sent = growth(before.sent_bytes, seen.sent_bytes)
                METRICS.wireguard_bytes.labels(direction="sent").inc(sent)
            if seen != before:
                self._seen[key] = seen
                self._unsaved.add(key)

    def _outside(self, newest: dict[str, Seen], holders: dict[str, Peer]) -> list[Alert]:
        """Handshakes of peers that were not to have any."""
        found = []
        for key, seen in newest.items():
            peer, before = holders[key], self._seen.get(key)
            handshake = seen.latest_handshake
            if handshake is None or self._wishes.is_admitted(peer.id):
                continue
            closed = self._wishes.left_at(peer.id)
            is_news = before is None or before.latest_handshake != handshake
            if is_news and (closed is None or handshake > closed + TOLERANCE):
                text = (
                    f"handshake at {handshake.isoformat()} from {seen.endpoint or 'somewhere'}, not open then"
                )
                found.append(
                    Alert(kind="outside-window", detail=text, target=peer.key, name=peer.name, public_key=key)
                )
        return found

    async def _look_at(self, gateway: Gateway, state: GatewayState, now: datetime) -> None:
        if abs(state.skew) > TOLERANCE:
            text = f"its clock differs by {state.skew.total_seconds():.0f} s from the server's"
            await self._tell(gateway, state, "clock", text)
        else:
            state.told.discard("clock")
        current = self._wishes.current(gateway.id)
        if current is None or state.version == current.version:
            state.drifting_since = None
            state.told.discard("drift")
            return
        since = max(state.drifting_since or now, self._wishes.changed_at(gateway.id) or now)
        state.drifting_since = since
        if now - since > DRIFT:
            text = f"it is not as wished: version {state.version or 'none'} since {since.isoformat()}"
            await self._tell(gateway, state, "drift", text)

    async def _tell(self, gateway: Gateway, state: GatewayState, kind: str, text: str) -> None:
        if kind in state.told:
            return
        alert = Alert(kind=kind, detail=text, target=gateway.key, name=gateway.name)  # type: ignore[arg-type]
        await self._alerts.raise_all([alert], ACTOR)
        state.told.add(kind)

    async def _record(self, steps: list[Step], actor: Actor) -> None:
        if not steps:
            return

        def command(directory: Directory) -> None:
            now = self._tailnet.clock()
            for step in steps:
                directory.audit(now, actor, step.verb, step.peer.key, step.after, name=step.peer.name)

        await self._tailnet.execute(command)


def _identity(noticed: Noticed) -> tuple[str, datetime, str, str]:
    """Gateways repeat events until they are answered."""
    return (noticed.kind, noticed.at, noticed.public_key, noticed.detail)


def _alert(gateway: Gateway, noticed: Noticed) -> Alert:
    return Alert(
        kind=noticed.kind,
        detail=visible(noticed.detail[:500]),
        target=gateway.key,
        name=gateway.name,
        public_key=visible(noticed.public_key[:44]),
    )
