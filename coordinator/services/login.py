"""Machines that wait for a person.

A machine that comes without a key is given a URL to show. Its follow-up request is held open until somebody
approves, or a poll interval passes. Pending logins live in memory: after a restart the client is simply given
a new URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from coordinator.tailcfg.keys import MachineKey, NodeKey
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import NotFoundError

PREFIX = "hskey-authreq-"
LIFETIME = timedelta(minutes=15)
MAX_PENDING = 1024
"""Beyond this the oldest is forgotten; its client gets a new URL at its next request."""
HOLD_SECONDS = 900.0


@dataclass(slots=True, kw_only=True)
class PendingLogin:
    """One machine that asked to join."""

    id: str
    machine_key: MachineKey
    node_key: NodeKey
    request: RegisterRequest
    began: datetime
    refused: bool = False
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class PendingLogins:
    """All of them, by id and by machine."""

    def __init__(self, server_url: str, clock: Clock, random_hex: Callable[[int], str]) -> None:
        self._base = server_url.rstrip("/") + "/register/"
        self._clock = clock
        self._random_hex = random_hex
        self._pending: dict[str, PendingLogin] = {}
        self._by_keys: dict[tuple[MachineKey, NodeKey], str] = {}
        self._began: Callable[[PendingLogin], None] = _nobody
        self._decided: Callable[[PendingLogin], None] = _nobody

    def share(
        self, *, began: Callable[[PendingLogin], None], decided: Callable[[PendingLogin], None]
    ) -> None:
        """There are other instances, where the person may come to: they are told of each login by these."""
        self._began, self._decided = began, decided

    def adopt(self, pending: PendingLogin) -> None:
        """A machine waits at another instance; whatever is decided here is told to that one."""
        self._drop_old()
        self._pending[pending.id] = pending
        self._by_keys[pending.machine_key, pending.node_key] = pending.id

    def begin(self, machine_key: MachineKey, node_key: NodeKey, request: RegisterRequest) -> str:
        """The URL to show for this machine; the same one while its login is pending."""
        self._drop_old()
        known = self._by_keys.get((machine_key, node_key))
        if known is None:
            known = PREFIX + self._random_hex(12)
            pending = PendingLogin(
                id=known,
                machine_key=machine_key,
                node_key=node_key,
                request=request,
                began=self._clock(),
            )
            self._pending[known] = pending
            self._by_keys[machine_key, node_key] = known
            self._began(pending)
        return self._base + known

    def get(self, login_id: str) -> PendingLogin:
        """A pending login; NotFoundError when there is none (any more)."""
        self._drop_old()
        pending = self._pending.get(login_id)
        if pending is None:
            raise NotFoundError(
                f"no machine is waiting under `{login_id}`: it expired, or the server was restarted; "
                "run `tailscale up` again for a new one"
            )
        return pending

    async def wait(self, url: str, machine_key: MachineKey, node_key: NodeKey) -> bool:
        """Hold a follow-up until its login is decided; returns at once when it is not known.

        Returns:
            False if somebody refused the machine.
        """
        pending = self._pending.get(url.rpartition("/")[2])
        if pending is None or (pending.machine_key, pending.node_key) != (machine_key, node_key):
            return True
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await pending.decided.wait()
        except TimeoutError:
            return True
        return not pending.refused

    def approved(self, login_id: str) -> None:
        """Wake whoever waits, and forget the login."""
        pending = self._forget(login_id)
        if pending is not None:
            self._decided(pending)

    def refuse(self, login_id: str) -> PendingLogin:
        """Somebody refused the machine: whoever waits is told; NotFoundError when nothing waits."""
        pending = self.get(login_id)
        pending.refused = True
        self.approved(login_id)
        return pending

    def decided_elsewhere(self, login_id: str, *, admitted: bool) -> None:
        """A person has decided at another instance: whoever waits here is woken."""
        pending = self._pending.get(login_id)
        if pending is not None:
            pending.refused = not admitted
            self._forget(login_id)

    def _forget(self, login_id: str) -> PendingLogin | None:
        pending = self._pending.pop(login_id, None)
        if pending is not None:
            self._by_keys.pop((pending.machine_key, pending.node_key), None)
            pending.decided.set()
        return pending

    def _drop_old(self) -> None:
        oldest = self._clock() - LIFETIME
        while self._pending:
            first = next(iter(self._pending.values()))
            if first.began > oldest and len(self._pending) < MAX_PENDING:
                return
            self._forget(first.id)


def _nobody(pending: PendingLogin) -> None:
    """There is no other instance."""
