"""The policy in force: from a file that is watched, or from the database.

A policy that does not load is refused with every problem it has; the one in force stays. Access profiles that
were declared beside it are part of it wherever it counts, and never of its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from acl import AccessProfile, Policy, PolicyDraft, PolicyError, Problem, parse_policy
from acl.declared import unfit
from coordinator.netmap.derp import with_policy_relays
from coordinator.services.declared_profiles import DeclaredProfiles
from coordinator.services.policy_records import PolicyFileRecorder, fingerprint
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.state import ChangeSet, StoredPolicy
from coordinator.telemetry.tasks import spawn
from coordinator.wireguard.declared_profiles import ProfileItem, in_the_file

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
        declared: Access profiles that join it; none if left out.
        on_change: Called after another policy came into force while the server runs.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        *,
        path: Path | None,
        database_mode: bool,
        stored: StoredPolicy | None,
        versions: Callable[[int], Awaitable[list[StoredPolicy]]],
        declared: DeclaredProfiles | None = None,
        on_change: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._tailnet = tailnet
        self._path = path
        self._database_mode = database_mode
        self._stored = stored
        self._versions = versions
        self._text = stored.text if stored else ""
        self._updated_at = stored.created_at if stored else None
        self._records = PolicyFileRecorder(tailnet)
        self._on_change = on_change
        self.declared = declared if declared is not None else DeclaredProfiles(tailnet, {})
        self.declared.on_change(self._declared_changed)
        self._set_aside: frozenset[str] = frozenset()
        self._prepared: tuple[Sequence[ProfileItem], PolicyDraft] | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._replacing = asyncio.Lock()
        tailnet.on_commit(self._take)
        self._setting: tuple[str, PolicyDraft] | None = None
        """The version on its way to the database."""
        self._following: asyncio.Task[None] | None = None
        self._follow_up: asyncio.Task[None] | None = None
        self._seen: _Identity = None
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Load the policy at start.

        Declared profiles that do not fit it are left out, which is said in the log: the policy decides, and
        only a server that runs can take another declaration.

        Raises:
            PolicyError: it is wrong; a server must not start with another policy than the one written.
            InvalidError: the file cannot be read.
        """
        if self.declared.stored and self._stored is None and self._path is None:
            log.warning(
                "no policy is set, so declared access profiles open nothing",
                profiles=sorted(self.declared.stored),
            )
        if self._database_mode:
            if self._stored is not None:
                self._begin(self._stored.text)
            return
        if self._path is None:
            return
        self._seen = self._identity()
        text = self._read()
        self._begin(text)
        self._took_over(text)

    def _begin(self, text: str) -> None:
        aside: frozenset[str] = frozenset()
        while True:
            try:
                draft = self._compile(text, self._blank(), self.declared.profiles_without(aside))
                break
            except PolicyError as error:
                wrong = unfit(error.problems) - aside
                if not wrong:
                    raise
                aside |= wrong
                log.error(
                    "declared access profiles do not fit the policy and open nothing; change the policy, "
                    "or apply a declaration without them",
                    profiles=sorted(wrong),
                    problems=[str(problem) for problem in error.problems],
                )
        self._set_aside = aside
        self._tailnet.adopt_policy(draft)

    def start(self) -> None:
        """Start watching the file, if there is one."""
        if self._path is not None and not self._database_mode:
            self._task = spawn("policy file watcher", self._watch())

    async def close(self) -> None:
        """Stop watching."""
        running = (self._task, self._following, self._follow_up, self._rejoining)
        tasks = [task for task in running if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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

    async def check(self, text: str) -> None:
        """Check a policy against this tailnet; raises PolicyError with every problem."""
        await self._draft(text)

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
        async with self._replacing:
            return await self._set(text, actor, note)

    @asynccontextmanager
    async def declaring(self, wanted: Sequence[ProfileItem]) -> AsyncIterator[Policy | None]:
        """Within, no other policy comes into force, and whoever enters stores these declared profiles.

        Once they are stored, the policy with them is in force; if they are not, nothing has changed. Gives
        the policy as it is with them.

        Raises:
            PolicyError: with every problem, where it is in the declaration.
            InvalidError: there is no policy they could join.
        """
        async with self._replacing:
            if not self._set_aside and not self.declared.differ(wanted):
                yield self.written
                return
            draft = await self._with_profiles(wanted)
            self._prepared = wanted, draft
            try:
                yield draft.policy
                if self._prepared is not None:
                    # The same are stored already; now they fit.
                    self._declared_changed()
            finally:
                self._prepared = None

    async def _with_profiles(self, wanted: Sequence[ProfileItem]) -> PolicyDraft:
        if wanted and not self._text:
            raise InvalidError(
                "no policy is set, so everything is allowed and a profile would open nothing: set a policy "
                "first, or leave `profiles` out"
            )
        declared = tuple(item.profile for item in sorted(wanted, key=lambda item: item.name))
        try:
            return await asyncio.to_thread(self._compile, self._text or None, self._blank(), declared)
        except PolicyError as error:
            raise PolicyError(map(in_the_file, error.problems)) from error

    def _declared_changed(self) -> None:
        """Other declared profiles are stored: those that were made ready, or some whose commit took long."""
        if self._prepared is not None and not self.declared.differ(self._prepared[0]):
            (_, draft), self._prepared = self._prepared, None
            try:
                self._put_in_force(draft)
                self._set_aside = frozenset()
            except Exception:
                # The commit has happened, and whatever else follows it must go on.
                log.exception("declared access profiles not in force, will try again")
                self._rejoining = spawn("declared profiles", self._rejoin())
        else:
            self._rejoining = spawn("declared profiles", self._rejoin())
        # A file that was refused because of them may be fine now.
        self._seen = None

    async def _rejoin(self) -> None:
        async with self._replacing:
            try:
                self._put_in_force(await self._draft(self._text or None))
                self._set_aside = frozenset()
            except PolicyError as error:
                self._set_aside = frozenset(self.declared.stored)
                log.error(
                    "declared access profiles do not fit the policy and are not in force",
                    problems=[str(problem) for problem in error.problems],
                )

    async def _set(self, text: str, actor: Actor, note: str) -> StoredPolicy:
        draft = await self._draft(text)

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

        self._setting = text, draft
        try:
            return await self._tailnet.execute(command)
        finally:
            self._setting = None

    def _take(self, changes: ChangeSet) -> None:
        """Put the version that was stored in force: ours is compiled, that of another instance is not yet."""
        if not changes.put_policies or not self._database_mode:
            return
        self._stored = stored = changes.put_policies[-1]
        if self._setting is not None and self._setting[0] == stored.text:
            self._enforce(stored, self._setting[1])
        else:
            self._following = spawn("policy of another instance", self._follow(stored))

    async def _follow(self, stored: StoredPolicy) -> None:
        async with self._replacing:
            if self._stored is not stored:
                return
            try:
                self._enforce(stored, await self._draft(stored.text))
            except PolicyError as error:
                # The other one has checked it: it runs another release, or with another configuration.
                log.error(
                    "policy of another instance refused, the former one stays in force here",
                    problems=[str(problem) for problem in error.problems],
                )

    def _enforce(self, stored: StoredPolicy, draft: PolicyDraft) -> None:
        self._put_in_force(draft)
        self._set_aside = frozenset()
        self._text, self._updated_at = stored.text, stored.created_at

    async def reload(self) -> bool:
        """Read the file again (SIGHUP, or it changed); True when a new policy is in force."""
        if self._path is None or self._database_mode:
            return False
        async with self._replacing:
            return await self._reload()

    async def _reload(self) -> bool:
        try:
            text = self._read()
            if text == self._text:
                return False
            draft = await self._draft(text)
        except PolicyError as error:
            log.error(
                "policy refused, the former one stays in force",
                path=str(self._path),
                problems=[str(problem) for problem in error.problems],
            )
            self._records.refused(str(self._path), [str(problem) for problem in error.problems])
            return False
        except InvalidError as error:
            log.error("policy not readable, the former one stays in force", error=error.message)
            self._records.refused(str(self._path), [error.message])
            return False
        self._put_in_force(draft)
        self._set_aside = frozenset()
        self._records.loaded(str(self._path), self._text, text)
        self._took_over(text)
        log.info("policy loaded", path=str(self._path))
        return True

    @property
    def written(self) -> Policy | None:
        """The policy in force, as somebody wrote it, with declared profiles; None: everything is allowed."""
        return self._tailnet.world.policy.policy

    def _put_in_force(self, draft: PolicyDraft) -> None:
        self._tailnet.adopt_policy(draft)
        if self._on_change is not None:
            self._follow_up = spawn("policy follow-up", self._on_change())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            identity = self._identity()
            if identity is not None and identity != self._seen:
                self._seen = identity
                await self.reload()

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

    def _check_relays(self, policy: Policy) -> None:
        """Only the server knows which relays are left beside the policy's."""
        try:
            with_policy_relays(self._tailnet.configured, policy.derp_map)
        except InvalidError as error:
            raise PolicyError([Problem(code="bad-relays", message=error.message)]) from error

    def _blank(self) -> PolicyDraft:
        """The users and nodes of now, to compile a policy for."""
        return self._tailnet.world.policy.draft(None)

    async def _draft(self, text: str | None) -> PolicyDraft:
        """Read, check and compile in another thread: a large policy would hold every client up.

        Without a text nothing is set, and everything allowed.
        """
        return await asyncio.to_thread(self._compile, text, self._blank(), self.declared.profiles())

    def _compile(
        self, text: str | None, blank: PolicyDraft, declared: Sequence[AccessProfile]
    ) -> PolicyDraft:
        if text is None:
            blank.compile()
            return blank
        policy = parse_policy(text, declared)
        self._check_relays(policy)
        draft = replace(blank, policy=policy)
        draft.compile()
        errors = [problem for problem in draft.problems if problem.severity == "error"]
        if errors:
            raise PolicyError(errors)
        return draft
