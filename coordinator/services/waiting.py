"""Machines and SSH sessions that wait for a person, known to all instances.

A machine waits at the instance it came to; the person's browser, or an administrator's command, may come to
another one. So what waits is told to all, and what was decided goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from coordinator.services.login import LIFETIME, PendingLogin, PendingLogins
from coordinator.services.ssh_checks import PendingCheck, SSHChecks
from coordinator.tailcfg.keys import MachineKey, NodeKey
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.instances import Waiting
from coordinator.tailnet.nodes import NodeID
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
MAX_KNOWN = 10_000


class _Login(msgspec.Struct, kw_only=True):
    machine_key: str
    node_key: str
    request: RegisterRequest


class _Check(msgspec.Struct, kw_only=True):
    source: int
    destination: int
    ssh_user: str


class WaitingBoard(Protocol):
    """What this needs of `store.Board`."""

    async def await_decision(self, waiting: Sequence[Waiting], oldest: datetime) -> None:
        """Say what waits for a person."""

    async def decide(self, waiting_id: str, decision: bool) -> None:
        """Say what a person has decided."""

    async def waiting(self, known: Collection[str]) -> tuple[list[Waiting], dict[str, bool]]:
        """What waits beyond what is known, and what was decided."""


class SharedWaiting:
    """Tells what waits here, adopts what waits elsewhere, and brings decisions to where they are awaited.

    `catch_up` takes over what other instances have stored.
    """

    def __init__(
        self,
        board: WaitingBoard,
        logins: PendingLogins,
        checks: SSHChecks,
        clock: Clock,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._catch_up = catch_up
        self._board = board
        self._logins = logins
        self._checks = checks
        self._clock = clock
        self._known: dict[str, str] = {}
        self._begun: list[Waiting] = []
        self._decisions: dict[str, bool] = {}
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        logins.share(began=self._login_began, decided=self._login_decided)
        checks.share(began=self._check_began, decided=self._check_decided)

    def start(self) -> None:
        """Start telling."""
        self._tasks = [spawn("what waits for people", self._tell_forever())]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def nudge(self) -> None:
        """Somebody may have said something."""
        self._something.set()

    async def look(self) -> None:
        """Take over what the others have said.

        Raises:
            UnavailableError: the database does not answer.
        """
        new, decided = await self._board.waiting(self._known)
        for each in new:
            self._adopt(each)
        fresh = [(kind, each) for each in decided if (kind := self._known.get(each)) is not None]
        if fresh:
            # What was decided is stored already, and whoever is woken has to find it here.
            await self._catch_up()
        for kind, waiting_id in fresh:
            self._known.pop(waiting_id, None)
            decision = decided[waiting_id]
            if kind == "login":
                self._logins.decided_elsewhere(waiting_id, admitted=decision)
            elif kind == "ssh":
                self._checks.decided_elsewhere(waiting_id, approve=decision)

    # inner

    def _adopt(self, waiting: Waiting) -> None:
        self._remember(waiting)
        try:
            if waiting.kind == "login":
                login = msgspec.json.decode(waiting.body, type=_Login)
                self._logins.adopt(
                    PendingLogin(
                        id=waiting.id,
                        machine_key=MachineKey(login.machine_key),
                        node_key=NodeKey(login.node_key),
                        request=login.request,
                        began=waiting.began,
                    )
                )
            elif waiting.kind == "ssh":
                check = msgspec.json.decode(waiting.body, type=_Check)
                ends = NodeID(check.source), NodeID(check.destination)
                self._checks.adopt(waiting.id, *ends, check.ssh_user, waiting.began)
        except msgspec.MsgspecError:
            log.warning("what waits elsewhere is not understood: another release?", kind=waiting.kind)

    def _login_began(self, pending: PendingLogin) -> None:
        body = _Login(machine_key=pending.machine_key, node_key=pending.node_key, request=pending.request)
        self._tell(Waiting(id=pending.id, kind="login", body=_text(body), began=pending.began))

    def _login_decided(self, pending: PendingLogin) -> None:
        self._decisions[pending.id] = not pending.refused
        self._something.set()

    def _check_began(self, pending: PendingCheck) -> None:
        body = _Check(source=pending.source.id, destination=pending.destination.id, ssh_user=pending.ssh_user)
        self._tell(Waiting(id=pending.id, kind="ssh", body=_text(body), began=pending.began))

    def _check_decided(self, pending: PendingCheck) -> None:
        self._decisions[pending.id] = bool(pending.approved)
        self._something.set()

    def _tell(self, waiting: Waiting) -> None:
        self._remember(waiting)
        self._begun.append(waiting)
        self._something.set()

    def _remember(self, waiting: Waiting) -> None:
        self._known[waiting.id] = waiting.kind
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def _tell_forever(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            try:
                await self._say()
                await self.look()
            except CoordinatorError as error:
                log.warning("cannot tell other instances what waits, will try again", error=error.message)
                self._something.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _say(self) -> None:
        begun, self._begun = self._begun, []
        try:
            if begun:
                await self._board.await_decision(begun, self._clock() - LIFETIME)
        except BaseException:
            self._begun = begun + self._begun
            raise
        for waiting_id, decision in list(self._decisions.items()):
            await self._board.decide(waiting_id, decision)
            del self._decisions[waiting_id]


def _text(body: msgspec.Struct) -> str:
    return msgspec.json.encode(body).decode()
