"""What each gateway should be, kept up to date, and told to those that wait for it.

Nothing depends on a timer that fires: a wish follows from what is stored, the policy and the time. It is
looked at after every change and several times a second, and made anew only when something in it is different.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import structlog

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_openings import OpenNow, WireGuardOpenings
from coordinator.services.wireguard_reach import WireGuardReach
from coordinator.tailnet.users import User, UserID
from coordinator.telemetry.tasks import spawn
from coordinator.wireguard.model import Peer, live_peers
from coordinator.wireguard.wire import Rule, Wish, WishedPeer
from coordinator.wireguard.wish import Admitted, Opening, boundaries, wish, wished_peers

log = structlog.get_logger(__name__)

INTERVAL = 0.2
"""Seconds between looks at the clock and the policy."""
_Inputs = tuple[Peer, Opening, tuple[Rule, ...], tuple[Rule, ...], int]


class WireGuardWishes:
    """The wishes of all gateways."""

    def __init__(
        self, tailnet: Tailnet, book: WireGuardBook, openings: WireGuardOpenings, reach: WireGuardReach
    ) -> None:
        self._tailnet = tailnet
        self._book = book
        self._openings = openings
        self._reach = reach
        self._wishes: dict[int, Wish] = {}
        self._changed_at: dict[int, datetime] = {}
        self._admitted: frozenset[int] = frozenset()
        self._left: dict[int, datetime] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._made: dict[int, tuple[_Inputs, tuple[WishedPeer, ...]]] = {}
        self._open = OpenNow()
        self._users: Mapping[UserID, User] | None = None
        self._boundary: datetime | None = None
        self._stale = True
        self._poked = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        book.on_change(self._changed)

    def start(self) -> None:
        """Start following."""
        self.refresh()
        self._task = spawn("wireguard wishes", self._follow())

    async def close(self) -> None:
        """Stop, and let go of everybody who waits."""
        self.let_go()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def let_go(self) -> None:
        """Answer everybody who waits: the server is about to stop."""
        self._closing = True
        for event in self._news.values():
            event.set()

    def poke(self) -> None:
        """Something that decides over peers may have changed: look now."""
        self._poked.set()

    def current(self, gateway_id: int) -> Wish | None:
        """A gateway's wish of now; None when there is no such gateway."""
        return self._wishes.get(gateway_id)

    def changed_at(self, gateway_id: int) -> datetime | None:
        """Since when the wish is what it is."""
        return self._changed_at.get(gateway_id)

    def is_admitted(self, peer_id: int) -> bool:
        """Whether a peer is in a wish now."""
        return peer_id in self._admitted

    def left_at(self, peer_id: int) -> datetime | None:
        """When a peer was taken out of its gateway's wish; None: not since the server started."""
        return self._left.get(peer_id)

    async def wait(self, gateway_id: int, have: str, seconds: float) -> Wish | None:
        """A gateway's wish once it differs from version `have`; None when it does not within the time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self.refresh()
            found = self._wishes.get(gateway_id)
            if found is None or found.version != have or self._closing:
                return None if found is None or found.version == have else found
            event = self._news.setdefault(gateway_id, asyncio.Event())
            try:
                async with asyncio.timeout_at(deadline):
                    await event.wait()
            except TimeoutError:
                return None

    def refresh(self) -> None:
        """Bring all wishes in line with what is stored, the policy, and the time."""
        now = self._tailnet.clock()
        open_now = self._openings.open_now(now)
        users = self._tailnet.snapshot.users
        due = self._boundary is not None and self._boundary <= now
        other_policy = self._reach.refresh()
        same = open_now == self._open and users is self._users
        if same and not (self._stale or due or other_policy):
            return
        self._open, self._users, self._stale = open_now, users, False
        self._make(now)

    # inner

    def _make(self, now: datetime) -> None:
        gateways = list(self._book.gateways.values())
        admitted: list[Admitted] = []
        found: dict[int, list[WishedPeer]] = {gateway.id: [] for gateway in gateways}
        for peer, opening in self._open_peers(now).values():
            each = Admitted(
                peer=peer,
                opening=opening,
                rules=self._reach.of(peer).rules,
                inbound=self._reach.inbound(peer),
            )
            admitted.append(each)
            found[peer.gateway_id] += self._wished(each, now)
        for gateway in gateways:
            made = wish(gateway, found[gateway.id], now, self._reach.networks)
            self._take(gateway.id, made, now)
        for gone in self._wishes.keys() - found.keys():
            del self._wishes[gone]
            self._announce(gone)
        before, self._admitted = self._admitted, frozenset(each.peer.id for each in admitted)
        self._left = {peer: at for peer, at in self._left.items() if peer in self._book.peers}
        self._left.update(dict.fromkeys(before - self._admitted, now))
        starts = [peer.since for peer in live_peers(self._book.peers.values()) if peer.since > now]
        ends = boundaries(admitted, gateways, now)
        self._boundary = min([*starts, *([ends] if ends else [])], default=None)

    def _open_peers(self, now: datetime) -> dict[int, tuple[Peer, Opening]]:
        """The peers that may be used now; the policy learns of those behind nodes of the tailnet."""
        found: dict[int, tuple[Peer, Opening]] = {}
        for peer in live_peers(self._book.peers.values()):
            opening = self._openings.opening(peer, now, self._open)
            if opening is None or peer.gateway_id not in self._book.gateways:
                self._made.pop(peer.id, None)
            else:
                found[peer.id] = (peer, opening)
        inside = [peer for peer, _ in found.values() if self._reach.inside(peer)]
        self._tailnet.know_peers(
            {peer.name: peer.addresses for peer in inside},
            {peer.name: peer.profile for peer in inside if peer.profile},
        )
        return found

    def _wished(self, each: Admitted, now: datetime) -> tuple[WishedPeer, ...]:
        """Made once for each peer, as long as nothing about it changes: there may be thousands."""
        inputs = (each.peer, each.opening, each.rules, each.inbound, len(each.peer.valid_keys(now)))
        known = self._made.get(each.peer.id)
        if known is not None and known[0] == inputs:
            return known[1]
        made = wished_peers(each, now)
        self._made[each.peer.id] = (inputs, made)
        return made

    def _take(self, gateway_id: int, made: Wish, now: datetime) -> None:
        before = self._wishes.get(gateway_id)
        if before is not None and before.version == made.version:
            return
        self._wishes[gateway_id] = made
        self._changed_at[gateway_id] = now
        self._announce(gateway_id)

    def _announce(self, gateway_id: int) -> None:
        event = self._news.pop(gateway_id, None)
        if event is not None:
            event.set()

    def _changed(self) -> None:
        self._stale = True
        self._poked.set()

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._poked.wait()
            except TimeoutError:
                self._poked.clear()
            # Changes that come together are answered together.
            await asyncio.sleep(0)
            self._poked.clear()
            try:
                self.refresh()
            except Exception:
                # A wish that cannot be made must not keep the wishes of all gateways as they are for good.
                log.exception("wishes of gateways not made, will try again")
