"""`/auth/{id}`: what somebody sees who is asked to confirm an SSH session."""

from __future__ import annotations

import html

from aiohttp import web

from coordinator.services.ssh_checks import SSHChecks
from coordinator.tailnet.errors import CoordinatorError
from coordinator.web.public import LogIn, page


class AuthPages:
    """Pages of sessions that wait for a decision."""

    def __init__(self, checks: SSHChecks, log_in: LogIn | None = None) -> None:
        self._checks = checks
        self._log_in = log_in

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.get("/auth/{check_id}", self._check)]

    async def _check(self, request: web.Request) -> web.Response:
        check_id = request.match_info["check_id"]
        try:
            check = self._checks.get(check_id)
        except CoordinatorError as error:
            return page(404, "Nothing waits here", f"<p>{html.escape(error.message)}</p>")
        sent = None if self._log_in is None else await self._log_in(request, "ssh", check_id)
        if sent is not None:
            return sent
        session = html.escape(f"{check.ssh_user}@{check.destination.given_name}")
        command = f"coordinator auth approve --auth-id {html.escape(check_id)}"
        return page(
            200,
            "An SSH login needs to be confirmed",
            f"<p><b>{html.escape(check.source.given_name)}</b> wants to log in as <b>{session}</b>.</p>"
            f"<p>An administrator lets it in with</p><pre>{command}</pre>"
            "<p>and refuses it with <code>reject</code> in place of <code>approve</code>.</p>",
        )
