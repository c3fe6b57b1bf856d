"""SSH check mode: a session the policy admits only after somebody confirmed it.

The destination's client asks for every session. Within a rule's check period after a confirmation for the
same two nodes it is told to accept at once; otherwise it prints a link and its next request is held until
somebody decides. Confirmations and waiting checks live in memory: after a restart people confirm once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from acl import SSHAction as CompiledAction
from acl import SSHRule
from coordinator.netmap.ssh import HOLD_AND_DELEGATE, accept_action
from coordinator.services.login import LIFETIME, MAX_PENDING, PREFIX
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.keys import MachineKey
from coordinator.tailcfg.ssh_policy import SSHAction
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.telemetry.metrics import METRICS

HOLD_SECONDS = 300.0
"""A request is held this long, then the client is sent round again; it asks for 30 minutes in all."""
LONGEST_PERIOD = timedelta(days=7)
"""No rule has a longer check period."""

NOT_ALLOWED = "the tailnet policy does not let you log in here\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHAttempt:
    """One session, as the destination's client describes it."""

    machine_key: MachineKey
    source: int
    destination: int
    ssh_user: str
    local_user: str
    check_id: str = ""


@dataclass(slots=True, kw_only=True)
class PendingCheck:
    """A session that waits for somebody to confirm it."""

    id: str
    source: Node
    destination: Node
    ssh_user: str
    began: datetime
    approved: bool | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class SSHChecks:
    """Answers clients, and takes the decisions of people.

    Args:
        tailnet: Nodes and the policy in force.
        server_url: Where people reach the page of a check.
        random_hex: Secret hex text of so many bytes.
    """

    def __init__(self, tailnet: Tailnet, server_url: str, random_hex: Callable[[int], str]) -> None:
        self._tailnet = tailnet
        self._base = server_url.rstrip("/") + "/auth/"
        self._random_hex = random_hex
        self._pending: dict[str, PendingCheck] = {}
        self._confirmed: dict[tuple[NodeID, NodeID], datetime] = {}
        self._began: Callable[[PendingCheck], None] = _nobody
        self._decided: Callable[[PendingCheck], None] = _nobody

    def share(
        self, *, began: Callable[[PendingCheck], None], decided: Callable[[PendingCheck], None]
    ) -> None:
        """There are other instances, where the person may come to: they are told of each check by these."""
        self._began, self._decided = began, decided

    def adopt(
        self, check_id: str, source: NodeID, destination: NodeID, ssh_user: str, began: datetime
    ) -> None:
        """A session waits at another instance; one whose nodes are gone meanwhile is left alone."""
        ends = [self._tailnet.snapshot.record(each) for each in (source, destination)]
        if ends[0] is None or ends[1] is None:
            return
        self._drop_old()
        self._pending[check_id] = PendingCheck(
            id=check_id, source=ends[0].node, destination=ends[1].node, ssh_user=ssh_user, began=began
        )

    async def answer(self, attempt: SSHAttempt) -> SSHAction:
        """What the destination's client does next with a session.

        A refusal is an answer like any other: clients repeat a request at once that fails as HTTP. Unknown
        nodes, a machine that is not the destination, and a rule that is gone are not told apart.
        """
        ends = self._ends(attempt)
        if ends is None:
            return _refusal(NOT_ALLOWED)
        source, destination = ends
        action = self._action(source, destination, attempt.ssh_user)
        if action is None:
            return _refusal(NOT_ALLOWED)
        if action.kind == "accept" or self._fresh(source, destination, action):
            return accept_action(action)
        waiting = self._pending.get(attempt.check_id)
        if waiting is None or (waiting.source.id, waiting.destination.id) != (source.id, destination.id):
            if attempt.check_id:
                return _refusal("nobody confirmed this login in time; try again\n")
            return self._ask(self._begin(source, destination, attempt.ssh_user))
        await self._wait(waiting)
        if waiting.approved is None:
            return SSHAction(hold_and_delegate=_again(waiting))
        # One decision admits one session.
        self._forget(waiting)
        METRICS.ssh_checks.labels(outcome="approved" if waiting.approved else "rejected").inc()
        if not waiting.approved:
            return _refusal("this login was refused\n")
        # The policy may have changed while the check was held.
        action = self._action(source, destination, attempt.ssh_user)
        return _refusal(NOT_ALLOWED) if action is None else accept_action(action)

    def get(self, check_id: str) -> PendingCheck:
        """A waiting check; NotFoundError when there is none (any more)."""
        self._drop_old()
        pending = self._pending.get(check_id)
        if pending is None or pending.approved is not None:
            raise NotFoundError(f"nothing waits under `{check_id}`: it was decided, or too long ago")
        return pending

    async def decide(self, check_id: str, *, approve: bool, actor: Actor) -> None:
        """Somebody confirmed or refused a session.

        Raises:
            NotFoundError: no such check (they last 15 minutes).
        """
        pending = self.get(check_id)

        def record(directory: Directory) -> None:
            details = {"source": pending.source.given_name, "user": pending.ssh_user}
            verb = "ssh.approve" if approve else "ssh.reject"
            subject = f"node:{pending.destination.id}"
            directory.audit(self._tailnet.clock(), actor, verb, subject, details)

        await self._tailnet.execute(record)
        self.decided_elsewhere(check_id, approve=approve)
        self._decided(pending)

    def decided_elsewhere(self, check_id: str, *, approve: bool) -> None:
        """A person has decided, perhaps at another instance."""
        pending = self._pending.get(check_id)
        if pending is None or pending.approved is not None:
            return
        if approve:
            self._confirmed[pending.source.id, pending.destination.id] = self._tailnet.clock()
        # Kept until the client fetches the decision; it may be between two requests.
        pending.approved = approve
        pending.decided.set()

    def _ends(self, attempt: SSHAttempt) -> tuple[Node, Node] | None:
        snapshot = self._tailnet.snapshot
        source = snapshot.record(NodeID(attempt.source))
        destination = snapshot.record(NodeID(attempt.destination))
        if source is None or destination is None or source.expired:
            return None
        if destination.node.machine_key != attempt.machine_key:
            return None
        return source.node, destination.node

    def _action(self, source: Node, destination: Node, ssh_user: str) -> CompiledAction | None:
        """The action of the first rule that admits the session, by the policy of this moment."""
        addresses = {str(address) for address in (source.ipv4, source.ipv6) if address is not None}
        if self._tailnet.snapshot.record(destination.id) is None:
            return None
        for rule in self._tailnet.world.policy.ssh_rules(destination.id):
            if not addresses.isdisjoint(rule.principals):
                local = _local_user(rule, ssh_user)
                if local is not None:
                    return rule.action if local else None
        return None

    def _fresh(self, source: Node, destination: Node, action: CompiledAction) -> bool:
        confirmed = self._confirmed.get((source.id, destination.id))
        period = timedelta(seconds=action.check_period)
        return confirmed is not None and self._tailnet.clock() < confirmed + period

    def _begin(self, source: Node, destination: Node, ssh_user: str) -> PendingCheck:
        self._drop_old()
        pending = PendingCheck(
            id=PREFIX + self._random_hex(12),
            source=source,
            destination=destination,
            ssh_user=ssh_user,
            began=self._tailnet.clock(),
        )
        self._pending[pending.id] = pending
        self._began(pending)
        return pending

    def _ask(self, pending: PendingCheck) -> SSHAction:
        return SSHAction(
            message=f"# This login needs to be confirmed. Open\n#\n#   {self._base}{pending.id}\n#\n",
            hold_and_delegate=_again(pending),
        )

    async def _wait(self, pending: PendingCheck) -> None:
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await pending.decided.wait()
        except TimeoutError:
            return

    def _drop_old(self) -> None:
        now = self._tailnet.clock()
        while self._pending:
            first = next(iter(self._pending.values()))
            if first.began > now - LIFETIME and len(self._pending) < MAX_PENDING:
                break
            self._forget(first)
        stale = [pair for pair, at in self._confirmed.items() if at < now - LONGEST_PERIOD]
        for pair in stale:
            del self._confirmed[pair]

    def _forget(self, pending: PendingCheck) -> None:
        self._pending.pop(pending.id, None)
        pending.decided.set()


def _nobody(pending: PendingCheck) -> None:
    """There is no other instance."""


def _local_user(rule: SSHRule, ssh_user: str) -> str | None:
    """Whom a rule logs a wanted user in as; "" refuses, None: the rule says nothing about that name."""
    users = dict(rule.ssh_users)
    local = users.get(ssh_user, users.get("*"))
    return ssh_user if local == "=" else local


def _again(pending: PendingCheck) -> str:
    return f"{HOLD_AND_DELEGATE}&auth_id={pending.id}"


def _refusal(message: str) -> SSHAction:
    return SSHAction(reject=True, message=message)
