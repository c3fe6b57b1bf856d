"""Several servers on one PostgreSQL, put together: who is there, and what they tell each other."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import msgspec
import structlog
from sqlalchemy import URL

from coordinator.map_settings import ConfigMaker
from coordinator.netmap.derp import EmbeddedRelay
from coordinator.services.instances import Instances
from coordinator.services.live_config import LiveConfig
from coordinator.services.login import PendingLogins
from coordinator.services.map_sessions import MapSessions
from coordinator.services.presence import Presence
from coordinator.services.ssh_checks import SSHChecks
from coordinator.services.tailnet import Tailnet
from coordinator.services.waiting import SharedWaiting
from coordinator.store.board import INSTANCES_CHANNEL, LIVE_CHANNEL, WAITING_CHANNEL
from coordinator.store.listener import Listener
from coordinator.store.store import CHANNEL, Store
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.instances import Instance

log = structlog.get_logger(__name__)


def make_instances(
    store: Store, clock: Clock, server_url: str, noise_key: str, relay: EmbeddedRelay | None
) -> Instances:
    """This server among those on its database; not joined yet.

    Args:
        store: Their database; its commits are this server's from now on.
        clock: The present.
        server_url: Where clients reach this one.
        noise_key: The public half, as text.
        relay: Its relay, if clients are told of it.
    """
    store.instance = secrets.token_hex(8)
    me = Instance(
        id=store.instance,
        server_url=server_url,
        noise_key=noise_key,
        relay="" if relay is None else msgspec.json.encode(relay).decode(),
        started_at=clock(),
    )
    return Instances(store.board, me)


async def join_instances(
    stack: AsyncExitStack,
    url: URL,
    store: Store,
    instances: Instances,
    tailnet: Tailnet,
    sessions: MapSessions,
    waiting: tuple[PendingLogins, SSHChecks],
    make: ConfigMaker,
    live: LiveConfig,
) -> Callable[[], Awaitable[None]]:
    """Meet the others and follow them; the stack leaves them again.

    Returns:
        What a person's request awaits, to see what every instance knows.

    Raises:
        CoordinatorError: see `Instances.start`.
    """
    presence = Presence(tailnet, sessions, store.board, store.instance)
    shared = SharedWaiting(store.board, *waiting, tailnet.clock)

    def changed(older: Sequence[Instance], younger: Sequence[Instance]) -> None:
        make.neighbours(_relays(older), _relays(younger))
        live.take_over()
        presence.follow([each.id for each in (*older, *younger)])

    def again() -> None:
        tailnet.nudge()
        instances.nudge()
        presence.repeat()
        shared.nudge()

    def look() -> None:
        tailnet.nudge()
        presence.nudge()
        shared.nudge()

    async def catch_up() -> None:
        await tailnet.catch_up()
        await shared.look()

    def committed(payload: str) -> None:
        if payload.partition(" ")[2] != store.instance:
            tailnet.nudge()

    def spoken(payload: str) -> None:
        if payload != store.instance:
            presence.nudge()

    def came_or_went(payload: str) -> None:
        if payload != store.instance:
            instances.nudge()

    instances.on_change(changed)
    await instances.start()
    stack.push_async_callback(instances.close)
    await presence.start()
    stack.push_async_callback(presence.close)
    shared.start()
    stack.push_async_callback(shared.close)
    heard = {
        CHANNEL: committed,
        LIVE_CHANNEL: spoken,
        INSTANCES_CHANNEL: came_or_went,
        WAITING_CHANNEL: lambda payload: shared.nudge(),
    }
    listener = Listener(url, heard, again=again, look=look)
    listener.start()
    stack.push_async_callback(listener.close)
    return catch_up


def _relays(instances: Sequence[Instance]) -> list[EmbeddedRelay]:
    relays = []
    for each in instances:
        if not each.relay:
            continue
        try:
            relays.append(msgspec.json.decode(each.relay, type=EmbeddedRelay))
        except msgspec.MsgspecError:
            log.warning("relay of another instance not understood: another release?", instance=each.id)
    return relays
