"""What the audit log says of administrators' requests that were refused: a wrong key, or no right to it."""

from __future__ import annotations

from typing import Any

from coordinator.audit.budget import RefusalBudget
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.telemetry.metrics import METRICS

MAX_PATH = 200
"""Characters of a path that are kept: some hold what the caller wrote."""


class AdminRefusals:
    """Records them, within a budget of its own: strangers must not use up that of registrations."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet
        self._budget = RefusalBudget()

    async def record(self, actor: Actor, method: str, path: str, reason: str) -> None:
        """One refusal; the caller is told only after it is recorded.

        Args:
            actor: Who asked, as far as that is proven.
            method: GET, POST, …
            path: Without its query.
            reason: Why it was refused.

        Raises:
            UnavailableError: it could not be recorded.
        """
        now = self._tailnet.clock()
        unrecorded = self._budget.take(now)
        if unrecorded is None:
            METRICS.audit_refusals_unrecorded.inc()
            return
        after: dict[str, Any] = {"method": method, "path": path[:MAX_PATH]}
        if unrecorded:
            after["not_recorded_before"] = unrecorded
        noun = path.removeprefix("/api/v1/").partition("/")[0]

        def command(directory: Directory) -> None:
            directory.audit(now, actor, "api.refused", f"api:{noun[:MAX_PATH]}", after, reason=reason)

        await self._tailnet.execute(command)
