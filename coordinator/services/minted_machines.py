"""Machines from outside that are let in for one window: their keys, and their end.

The asker fetches the key once the window is open, and nobody else; it is made at that moment, so that its
secret is nowhere before, and nowhere but with them after. It admits one machine, tagged as the profile says
and ephemeral. Key and machine follow the window: this looks at stored facts and the time, several times a
second and before the server's listeners open, and brings them in line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from coordinator.services.access import AccessService
from coordinator.services.access_windows import INTERVAL, record_step
from coordinator.services.node_changes import node_summary
from coordinator.services.preauth_keys import SECRET_BYTES
from coordinator.services.tags import validated_tags
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, CoordinatorError, ForbiddenError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.preauth_keys import PreAuthKey, hash_secret, new_secret, split_key
from coordinator.tailnet.users import User
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

ACTOR = Actor(kind="system", name="access")


class MintedMachines:
    """Gives out the keys of windows for machines from outside, and ends key and machine with the window.

    Args:
        tailnet: Where.
        access: Keeps the requests.
        random_bytes: So many secret bytes.
    """

    def __init__(self, tailnet: Tailnet, access: AccessService, random_bytes: Callable[[int], bytes]) -> None:
        self._tailnet = tailnet
        self._access = access
        self._random_bytes = random_bytes
        self._settled: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self._task = spawn("minted machines", self._watch())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def key(self, request_id: int, *, by: User | None, actor: Actor) -> tuple[AccessRequest, str]:
        """The key of an open window, for the one who asked; `by` None: the administrator acts for them.

        Returns:
            (request, the key's text, which is never shown again).

        Raises:
            ForbiddenError: somebody else asked for it.
            ConflictError: the window is not open, is for machines of the tailnet, or its key was fetched.
            InvalidError: a tag is not in the policy any more.
        """
        asked = self._access.get(request_id)
        if by is not None and by.id != asked.user_id:
            raise ForbiddenError(f"only who asked for request {request_id} gets its key")
        if not asked.mint:
            raise ConflictError(f"request {request_id} is for machines of the tailnet: it has no key")
        tags = validated_tags(self._tailnet.world.policy, asked.mint)
        text, prefix = new_secret(self._random_bytes(SECRET_BYTES))
        secret_hash = hash_secret(prefix, split_key(text)[1])

        def command(directory: Directory) -> AccessRequest:
            now = self._tailnet.clock()
            request = directory.access(request_id)
            request.require("key", now)
            if request.key_id is not None:
                raise ConflictError(
                    f"the key of request {request_id} was given out already, and is shown once: ask anew"
                )
            key = PreAuthKey(
                id=directory.next_id("preauth_keys"),
                prefix=prefix,
                hash=secret_hash,
                user_id=None,
                tags=tags,
                ephemeral=True,
                # The window was approved, and the machine with it.
                preapproved=True,
                description=f"access request {request_id}",
                expiration=request.closes_at,
                created_at=now,
            )
            directory.put_preauth_key(key)
            minted = replace(request, key_id=key.id)
            directory.put_access(minted)
            who = by.login if by is not None else ""
            record_step(now, directory, "access.key", minted, actor, who)
            after = {"tags": list(tags), "ephemeral": True, **_validity(key)}
            target = f"preauthkey:{key.id}"
            directory.audit(now, actor, "preauthkey.create", target, after, name=key.masked)
            return minted

        request = await self._tailnet.execute(command)
        return request, text

    async def tick(self) -> None:
        """Bring keys and machines in line with the windows."""
        now = self._tailnet.clock()
        for request in list(self._access.requests.values()):
            if request.key_id is None or request.id in self._settled:
                continue
            if request.state(now) in ("active", "approved"):
                await self._follow(request)
            else:
                await self._finish(request)

    async def _follow(self, request: AccessRequest) -> None:
        """The key of a window that was extended lasts as long as the window, if nobody used it yet."""
        key = self._tailnet.snapshot.preauth_keys.get(request.key_id or 0)
        if key is None or key.used or key.revoked or key.expiration == request.closes_at:
            return

        def command(directory: Directory) -> None:
            current = directory.preauth_key(key.id)
            if current.used or current.revoked:
                return
            longer = replace(current, expiration=request.closes_at)
            directory.put_preauth_key(longer)
            self._record_key(directory, "preauthkey.extend", current, longer, request)

        await self._tailnet.execute(command)

    async def _finish(self, request: AccessRequest) -> None:
        """The window is over: its machine leaves, and its key admits nobody any more.

        Done when a later look finds neither: a machine may have joined while this was decided.
        """
        snapshot = self._tailnet.snapshot
        key = snapshot.preauth_keys.get(request.key_id or 0)
        usable = key is not None and not key.used and not key.revoked
        present = [record.node.id for record in snapshot.records.values() if _is_minted(record.node, request)]
        if not usable and not present:
            self._settled.add(request.id)
            return

        def command(directory: Directory) -> None:
            if key is not None and usable:
                self._end_key(directory, directory.preauth_key(key.id), request)
            for node_id in present:
                if _is_minted(directory.node(node_id), request):
                    self._record_node(directory, directory.delete_node(node_id), request)

        await self._tailnet.execute(command)
        for node_id in present:
            log.info("minted machine removed", node_id=node_id, access_id=request.id)

    def _end_key(self, directory: Directory, key: PreAuthKey, request: AccessRequest) -> None:
        if key.used or key.revoked:
            return
        now = self._tailnet.clock()
        ends = now if key.expiration is None else min(now, key.expiration)
        # Revoked as well: a clock that is put back must not make it valid again.
        ended = replace(key, expiration=ends, revoked=True)
        directory.put_preauth_key(ended)
        self._record_key(directory, "preauthkey.expire", key, ended, request)

    def _record_key(
        self, directory: Directory, verb: str, key: PreAuthKey, changed: PreAuthKey, request: AccessRequest
    ) -> None:
        now, target, reason = self._tailnet.clock(), f"preauthkey:{key.id}", f"access request {request.id}"
        before, after = _validity(key), _validity(changed)
        directory.audit(now, ACTOR, verb, target, after, before=before, name=key.masked, reason=reason)

    def _record_node(self, directory: Directory, node: Node, request: AccessRequest) -> None:
        now, target, name = self._tailnet.clock(), f"node:{node.id}", node.given_name
        before, reason = node_summary(node), f"access request {request.id} is over"
        directory.audit(now, ACTOR, "node.delete", target, before=before, name=name, reason=reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.tick()
            except CoordinatorError as error:
                log.warning("minted machines not looked after, will try again", error=error.message)


def _is_minted(node: Node, request: AccessRequest) -> bool:
    """Whether a machine is there because of this request; one that was given to a person since is theirs."""
    return node.auth_key_id == request.key_id and bool(node.tags)


def _validity(key: PreAuthKey) -> dict[str, object]:
    ends = key.expiration.isoformat() if key.expiration else None
    return {"expiration": ends, "revoked": key.revoked}
