"""Several servers on one PostgreSQL, put together: who is there, and what they tell each other."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

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
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.instances import Instance

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """This server among the others on its database, or alone."""

    on_duty: Callable[[], bool]
    """Whether this one does what only one shall do."""
    catch_up: Callable[[], Awaitable[None]]
    """Awaited before a person's request is answered, see `web.middleware.keeping_up`."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What others have a say in."""

    tailnet: Tailnet
    sessions: MapSessions
    logins: PendingLogins
    checks: SSHChecks
    make: ConfigMaker
    live: LiveConfig


def make_instance(server_url: str, noise_key: str, relay: EmbeddedRelay | None, clock: Clock) -> Instance:
    """This server, as the others shall know it.

    Args:
        server_url: Where clients reach it.
        noise_key: The public half, as text.
        relay: Its relay, if clients are told of it.
        clock: The present.
    """
    return Instance(
        id=secrets.token_hex(8),
        server_url=server_url,
        noise_key=noise_key,
        relay="" if relay is None else msgspec.json.encode(relay).decode(),
        started_at=clock(),
    )


async def join_instances(
    stack: AsyncExitStack, url: URL, store: Store, me: Instance, followed: Followed
) -> Company:
    """Meet the others and follow them; the stack leaves them again.

    Raises:
        CoordinatorError: see `Instances.start`.
    """
    store.instance = me.id
    others = _Others(store, me, followed)
    await others.instances.start()
    stack.push_async_callback(others.instances.close)
    await others.presence.start()
    stack.push_async_callback(others.presence.close)
    others.waiting.start()
    stack.push_async_callback(others.waiting.close)
    listener = Listener(url, others.heard(), again=others.again, look=others.look)
    listener.start()
    stack.push_async_callback(listener.close)
    return Company(on_duty=others.instances.on_duty, catch_up=others.catch_up)


class _Others:
    """What is told and heard, by kind."""

    def __init__(self, store: Store, me: Instance, followed: Followed) -> None:
        self._me = me
        self._followed = followed
        self.instances = Instances(store.board, me)
        self.presence = Presence(followed.tailnet, followed.sessions, store.board, me.id)
        tailnet = followed.tailnet
        self.waiting = SharedWaiting(
            store.board, followed.logins, followed.checks, tailnet.clock, tailnet.catch_up
        )
        self.instances.on_change(self._changed)

    def heard(self) -> Mapping[str, Callable[[str], None]]:
        """What happens with a notification, by channel; what this server has said itself is no news."""
        return {
            CHANNEL: lambda said: self._unless_mine(said.partition(" ")[2], self._followed.tailnet.nudge),
            LIVE_CHANNEL: lambda said: self._unless_mine(said, self.presence.nudge),
            INSTANCES_CHANNEL: lambda said: self._unless_mine(said, self.instances.nudge),
            WAITING_CHANNEL: lambda said: self.waiting.nudge(),
        }

    def again(self) -> None:
        """Anything may have been missed."""
        self.look()
        self.instances.nudge()
        self.presence.repeat()

    def look(self) -> None:
        """Something may have been missed."""
        self._followed.tailnet.nudge()
        self.presence.nudge()
        self.waiting.nudge()

    async def catch_up(self) -> None:
        """Know what every other one knows now; while the database is away, what is known here has to do."""
        await self._followed.tailnet.catch_up()
        try:
            await self.waiting.look()
        except CoordinatorError as error:
            log.warning("cannot look for what waits at other instances", error=error.message)

    def _unless_mine(self, instance: str, nudge: Callable[[], None]) -> None:
        if instance != self._me.id:
            nudge()

    def _changed(self, older: Sequence[Instance], younger: Sequence[Instance]) -> None:
        self._followed.make.neighbours(_relays(older), _relays(younger))
        self._followed.live.take_over()
        self.presence.follow([each.id for each in (*older, *younger)])


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
