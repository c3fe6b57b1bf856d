"""The policy in force: from a file that is watched, or from the database.

A policy that does not load is refused with every problem it has; the one in force stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from acl import Policy, PolicyError, check_policy, parse_policy
from coordinator.services.policy_records import PolicyFileRecorder, fingerprint
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.facts import node_fact, tailnet_facts
from coordinator.tailnet.state import StoredPolicy
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

WATCH_INTERVAL = 0.1
"""Seconds between looks at the file's identity: one `stat`, so that an edit reaches clients within 300 ms."""

MAX_HISTORY = 10_000
"""How far back a rollback looks."""

_Identity = tuple[int, int, int] | None


class PolicyService:
    """Reads, checks and replaces the policy.

    Args:
        tailnet: Where it takes effect.
        path: The watched file in file mode; None in database mode, or when everything is allowed.
        database_mode: Whether `set` works.
        stored: The version in force, in database mode.
        versions: Reads so many newest versions, newest first.
        associated_domains: E-mail domains the tailnet owns.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        *,
        path: Path | None,
        database_mode: bool,
        stored: StoredPolicy | None,
        versions: Callable[[int], Awaitable[list[StoredPolicy]]],
        associated_domains: tuple[str, ...] = (),
    ) -> None:
        self._tailnet = tailnet
        self._path = path
        self._database_mode = database_mode
        self._stored = stored
        self._versions = versions
        self._associated_domains = associated_domains
        self._text = stored.text if stored else ""
        self._updated_at = stored.created_at if stored else None
        self._records = PolicyFileRecorder(tailnet)
        self._seen: _Identity = None
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Load the policy at start.

        Raises:
            PolicyError: it is wrong; a server must not start with another policy than the one written.
            InvalidError: the file cannot be read.
        """
        if self._database_mode:
            if self._stored is not None:
                self._tailnet.replace_policy(self._checked(self._stored.text))
            return
        if self._path is None:
            return
        self._seen = self._identity()
        text = self._read()
        self._tailnet.replace_policy(self._checked(text))
        self._took_over(text)

    def start(self) -> None:
        """Start watching the file, if there is one."""
        if self._path is not None and not self._database_mode:
            self._task = spawn("policy file watcher", self._watch())

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._records.close()

    @property
    def text(self) -> str:
        """The text in force; empty when everything is allowed."""
        return self._text

    def get(self) -> tuple[str, datetime | None]:
        """The text in force and since when; NotFoundError when none was ever set."""
        if not self._text and self._path is None and self._stored is None:
            raise NotFoundError("no policy is set: everything is allowed")
        return self._text, self._updated_at

    def check(self, text: str) -> None:
        """Check a policy against this tailnet; raises PolicyError with every problem."""
        self._checked(text)

    async def history(self, limit: int = 50) -> list[StoredPolicy]:
        """The newest versions, newest first; only database mode has any."""
        return await self._versions(limit)

    async def rollback(self, version: int, *, actor: Actor, note: str = "") -> StoredPolicy:
        """Put a former version in force again, as a new version.

        Raises:
            NotFoundError: there is no such version.
            PolicyError: it does not fit the tailnet any more; nothing has changed.
        """
        for stored in await self._versions(MAX_HISTORY):
            if stored.id == version:
                return await self.set(stored.text, actor=actor, note=note or f"rollback to {version}")
        raise NotFoundError(f"there is no policy version {version}; `policy history` lists them")

    async def set(self, text: str, *, actor: Actor, note: str = "") -> StoredPolicy:
        """Store a policy and put it in force.

        Raises:
            PolicyError: with every problem; nothing has changed.
            InvalidError: the policy comes from a file.
        """
        if not self._database_mode:
            raise InvalidError(
                "the policy comes from the file named by `policy.path`: edit that file, "
                "or set `policy.mode: database`"
            )
        policy = self._checked(text)

        def command(directory: Directory) -> StoredPolicy:
            now = self._tailnet.clock()
            stored = StoredPolicy(
                id=directory.next_id("policies"), text=text, created_at=now, author=str(actor), note=note
            )
            before = fingerprint(directory.policy.text if directory.policy else "")
            directory.put_policy(stored)
            target, after = f"policy:{stored.id}", fingerprint(text) | {"note": note}
            directory.audit(now, actor, "policy.set", target, after, before=before, reason=note)
            return stored

        stored = await self._tailnet.execute(command)
        self._tailnet.replace_policy(policy)
        self._stored = stored
        self._text, self._updated_at = text, stored.created_at
        return stored

    def reload(self) -> bool:
        """Read the file again (SIGHUP, or it changed); True when a new policy is in force."""
        if self._path is None or self._database_mode:
            return False
        try:
            text = self._read()
            if text == self._text:
                return False
            policy = self._checked(text)
        except PolicyError as error:
            log.error(
                "policy refused, the former one stays in force",
                path=str(self._path),
                problems=[str(problem) for problem in error.problems],
            )
            self._records.refused(self._path, [str(problem) for problem in error.problems])
            return False
        except InvalidError as error:
            log.error("policy not readable, the former one stays in force", error=error.message)
            self._records.refused(self._path, [error.message])
            return False
        self._tailnet.replace_policy(policy)
        self._records.loaded(self._path, self._text, text)
        self._took_over(text)
        log.info("policy loaded", path=str(self._path))
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            identity = self._identity()
            if identity is not None and identity != self._seen:
                self._seen = identity
                self.reload()

    def _identity(self) -> _Identity:
        assert self._path is not None
        try:
            status = self._path.stat()
        except OSError:
            # Editors replace files by renaming: for a moment there may be none.
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> str:
        assert self._path is not None
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"policy file {self._path}: {error}") from error

    def _took_over(self, text: str) -> None:
        self._text, self._updated_at = text, datetime.now(UTC)

    def _checked(self, text: str) -> Policy:
        policy = parse_policy(text)
        snapshot = self._tailnet.snapshot
        facts = tailnet_facts(
            snapshot.users.values(),
            domain=self._tailnet.world.config.domain,
            associated_domains=self._associated_domains,
        )
        nodes = [node_fact(record.node, record.index) for record in snapshot.records.values()]
        problems = check_policy(policy, facts, nodes)
        errors = tuple(problem for problem in problems if problem.severity == "error")
        if errors:
            raise PolicyError(errors)
        return policy
