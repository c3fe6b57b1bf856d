"""What the audit log says of policies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import structlog

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import UnavailableError
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

FILE = Actor(kind="system", name="policy file")
RETRY_SECONDS = 1.0
MAX_PROBLEMS = 20


def fingerprint(text: str) -> dict[str, Any]:
    """Which policy, without its text: that is in the policy's own history, or in the file."""
    if not text:
        return {}
    raw = text.encode("utf-8", "replace")
    return {"blake2b": blake2b(raw, digest_size=16).hexdigest(), "bytes": len(raw)}


class PolicyFileRecorder:
    """Records what became of the policy file.

    A file changes outside of any transaction of ours, so its entry follows the change, and is tried again
    until the database takes it.
    """

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet
        self._tasks: set[asyncio.Task[None]] = set()

    def loaded(self, path: str, before: str, after: str) -> None:
        """Another policy is in force."""
        self._begin("policy.load", path, fingerprint(before), fingerprint(after))

    def refused(self, path: str, problems: list[str]) -> None:
        """The file changed and cannot be used."""
        self._begin("policy.load.refused", path, {}, {"problems": problems[:MAX_PROBLEMS]})

    async def close(self) -> None:
        """Give up on what the database has not taken yet."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, action: str, path: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        now = self._tailnet.clock()

        def command(directory: Directory) -> None:
            directory.audit(now, FILE, action, "policy:file", after, before=before, name=path)

        task = spawn("policy file audit", self._record(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, command: Callable[[Directory], None]) -> None:
        while True:
            try:
                await self._tailnet.execute(command)
            except UnavailableError as error:
                log.warning("policy file not recorded yet", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
