"""What time does to plain WireGuard: peers end, keys that were replaced go, schedules fall due, alerts.

Nobody's access depends on it: what is over is in no wish any more, whether it is recorded yet or not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_alerts import Alert, WireGuardAlerts
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_gateways import gateway_facts, with_new_key
from coordinator.services.wireguard_observation import ACTOR, WireGuardObservation
from coordinator.services.wireguard_openings import OpenNow, WireGuardOpenings
from coordinator.services.wireguard_peer_records import put_ended, record_peer
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.users import UserID
from coordinator.telemetry.metrics import METRICS
from coordinator.telemetry.tasks import spawn
from coordinator.wireguard.model import Gateway, Peer, PeerEnd, PeerKey, live_peers

log = structlog.get_logger(__name__)

INTERVAL = 1.0
SAVE_SECONDS = 30.0
NOTICE_OPEN = timedelta(hours=1)
"""How often it is noted that a waiting peer is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperRules:
    """How long things are kept; zero for ever, or never."""

    unused_after: timedelta = timedelta(days=30)
    """A peer whose profile was not open for so long ends."""
    stale_after: timedelta = timedelta(days=30)
    """An alert for a key that may be used and has no handshake for so long."""
    key_age: timedelta = timedelta(days=180)
    """An alert for a key that is older."""
    keep_ended: timedelta = timedelta(days=90)
    """For so long the records of what ended are kept."""
    overlap: timedelta = timedelta(days=7)
    """Of scheduled rotations of gateway keys."""


class WireGuardKeeper:
    """Looks at the clock once a second."""

    def __init__(
        self,
        tailnet: Tailnet,
        book: WireGuardBook,
        openings: WireGuardOpenings,
        observation: WireGuardObservation,
        alerts: WireGuardAlerts,
        rules: KeeperRules,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_duty = on_duty
        self._tailnet = tailnet
        self._book = book
        self._openings = openings
        self._observation = observation
        self._alerts = alerts
        self._rules = rules
        self._told: set[tuple[str, str]] = set()
        self._since = tailnet.clock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start looking."""
        self._task = spawn("wireguard keeper", self._watch())

    async def close(self) -> None:
        """Stop, and store what was seen."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._observation.save()
        except CoordinatorError as error:
            log.warning("what gateways saw is not saved", error=error.message)

    async def tick(self) -> None:
        """Record what time has ended, and raise what is due.

        Raises:
            CoordinatorError: something cannot be stored; the next look tries again.
        """
        now = self._tailnet.clock()
        open_now = self._openings.open_now(now)
        states: Counter[str] = Counter()
        for peer in live_peers(self._book.peers.values()):
            states[self._openings.state(peer, now, open_now)] += 1
            await self._look_at_peer(peer, now, open_now)
        for state in ("active", "waiting", "scheduled", "unreadable"):
            METRICS.wireguard_peers.labels(state=state).set(states[state])
        for gateway in list(self._book.gateways.values()):
            await self._look_at_gateway(gateway, now)
        await self._forget(now)
        await self._observation.look()
        await self._raise_about_keys(now, open_now)

    # inner

    async def _look_at_peer(self, peer: Peer, now: datetime, open_now: OpenNow) -> None:
        end = self._end_of(peer, now, open_now)
        active = self._openings.opening(peer, now, open_now) is not None
        noted = peer.last_open or peer.created_at
        old_keys = len(peer.valid_keys(now)) < len(peer.keys)
        note = active and peer.basis == "profile" and now - noted > NOTICE_OPEN
        if end is None and not old_keys and not note:
            return

        def command(directory: Directory) -> None:
            current = directory.wireguard.peer(peer.id)
            if not current.live:
                return
            if end is not None:
                put_ended(directory, current, now, ACTOR, end)
                return
            if old_keys:
                changed = replace(current, keys=current.valid_keys(now) or current.keys[-1:])
                record_peer(directory, now, ACTOR, "wgpeer.key_end", changed, before=current)
                current = changed
            if note:
                current = replace(current, last_open=now)
            directory.put_wireguard(current, noteworthy=False)

        await self._tailnet.execute(command)

    def _end_of(self, peer: Peer, now: datetime, open_now: OpenNow) -> PeerEnd | None:
        if peer.until is not None and peer.until <= now:
            return "expired"
        if peer.user_id is not None and UserID(peer.user_id) not in self._tailnet.snapshot.users:
            return "user gone"
        if peer.basis == "request" and self._openings.over(peer.access_id or 0, now):
            return "request ended"
        idle = now - (peer.last_open or peer.created_at) > self._rules.unused_after > timedelta()
        if peer.basis == "profile" and idle and self._openings.opening(peer, now, open_now) is None:
            return "unused"
        return None

    async def _look_at_gateway(self, gateway: Gateway, now: datetime) -> None:
        valid = tuple(key for key in gateway.keys if key.until is None or now < key.until)
        newest = gateway.keys[-1]
        age = timedelta(days=gateway.rotate_days)
        due = bool(age) and len(valid) == 1 and bool(newest.public_key) and now - newest.since >= age
        if len(valid) == len(gateway.keys) and not due:
            return

        def command(directory: Directory) -> None:
            current = directory.wireguard.gateway(gateway.id)
            kept = tuple(key for key in current.keys if key.until is None or now < key.until)
            changed = replace(current, keys=kept or current.keys[-1:])
            verb = "wggateway.key_end"
            if due:
                changed, verb = with_new_key(changed, now, self._rules.overlap), "wggateway.rotate_key"
            directory.put_wireguard(changed)
            after, before = gateway_facts(changed), gateway_facts(current)
            reason = f"every {gateway.rotate_days} days" if due else ""
            directory.audit(
                now, ACTOR, verb, changed.key, after, before=before, name=changed.name, reason=reason
            )

        await self._tailnet.execute(command)

    async def _forget(self, now: datetime) -> None:
        """Records of what ended long ago; the audit log still knows."""
        kept = self._rules.keep_ended
        peers = [
            peer.key
            for peer in self._book.peers.values()
            if peer.ended_at is not None and now - peer.ended_at > kept > timedelta()
        ]
        tokens = [
            token.key
            for token in self._book.tokens.values()
            if now - max(token.expires_at, token.used_at or token.expires_at) > kept > timedelta()
        ]
        gone = peers + tokens
        if not gone:
            return

        def command(directory: Directory) -> None:
            for key in gone:
                if directory.wireguard.get(key) is not None:
                    directory.delete_wireguard(key, noteworthy=False)

        await self._tailnet.execute(command)

    async def _raise_about_keys(self, now: datetime, open_now: OpenNow) -> None:
        alerts: list[Alert] = []
        for peer in live_peers(self._book.peers.values()):
            if self._openings.opening(peer, now, open_now) is None:
                continue
            key = peer.newest_key()
            old, stale = self._rules.key_age, self._rules.stale_after
            if timedelta() < old < now - key.since:
                text = f"its key is {(now - key.since).days} days old; rotate it"
                alerts += self._once(peer, key, "old-key", text)
            seen = self._observation.of_peer(peer)
            last = seen.latest_handshake if seen is not None else None
            if timedelta() < stale < now - max(last or key.since, key.since, peer.last_open or key.since):
                text = f"no handshake for {stale.days} days; revoke it if nobody needs it"
                alerts += self._once(peer, key, "stale-key", text)
        await self._alerts.raise_all(alerts, ACTOR)
        self._told.update((alert.public_key, alert.kind) for alert in alerts)

    def _once(self, peer: Peer, key: PeerKey, kind: str, text: str) -> list[Alert]:
        if (key.public_key, kind) in self._told:
            return []
        return [
            Alert(
                kind="old-key" if kind == "old-key" else "stale-key",
                detail=text,
                target=peer.key,
                name=peer.name,
                public_key=key.public_key,
            )
        ]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        saved = loop.time()
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if self._on_duty():
                    await self.tick()
                if loop.time() - saved > SAVE_SECONDS:
                    await self._observation.save()
                    saved = loop.time()
            except CoordinatorError as error:
                log.warning("wireguard records not updated, will try again", error=error.message)
            except Exception:
                # One record that cannot be handled must not keep all others from ending.
                log.exception("wireguard records not updated, will try again")
