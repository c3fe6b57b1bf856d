"""Sessions on the pages of access for those who logged in at an identity provider.

A session is a signed cookie that names the user, for an hour and for these pages alone. It says who somebody
is and nothing else: whether they are suspended, and what they may, is looked up each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from coordinator.services.access_people import AccessPeople
from coordinator.services.rate_limits import RateLimits
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import UnavailableError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.timed_tokens import TimedTokens
from coordinator.tailnet.users import User
from coordinator.web.access_html import error_page, private_page
from coordinator.web.access_overview import ACCESS_PATH
from coordinator.web.public import LogIn

PURPOSE = "access"
"""Of logins that end on these pages."""
COOKIE = "coordinator_access"
LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionVisitor:
    """Somebody with a session; no machine proves who they are."""

    user: User
    node: Node | None = None


class AccessSessions:
    """Makes sessions and reads them.

    Args:
        key: 32 secret bytes.
        limits: Logins begun count.
        secure: Whether browsers reach this server by https.
        log_in: The way to an identity provider.
    """

    def __init__(
        self,
        people: AccessPeople,
        key: bytes,
        clock: Clock,
        *,
        limits: RateLimits,
        secure: bool,
        log_in: LogIn,
    ) -> None:
        self._people = people
        self._tokens = TimedTokens(key, "session", LIFETIME)
        self._clock = clock
        self._limits = limits
        self._secure = secure
        self._log_in = log_in

    async def identify(self, request: web.Request) -> SessionVisitor | None:
        """Who has the session of a request; None without one."""
        numbers = self._tokens.read(request.cookies.get(COOKIE, ""), self._clock())
        user = self._people.user(numbers[0]) if numbers is not None else None
        return None if user is None else SessionVisitor(user=user)

    async def welcome(self, request: web.Request) -> web.Response:
        """Send somebody unknown to the provider.

        Raises:
            RateLimitedError: too many logins were begun from there; each displaces another in the end.
        """
        remote = request.remote or ""
        self._limits.check("page", remote)
        self._limits.failed(remote)
        sent = await self._log_in(request, PURPOSE, PURPOSE)
        if sent is None:
            return error_page(UnavailableError("the identity provider does not answer; try again later"))
        return sent

    def arrived(self, user: User) -> web.Response:
        """Somebody came back from the provider: to the page, with a session."""
        headers = {"Location": ACCESS_PATH, "Cache-Control": "no-store"}
        response = web.Response(status=303, headers=headers)
        response.set_cookie(
            COOKIE,
            self._tokens.make((user.id,), self._clock()),
            path=ACCESS_PATH,
            max_age=int(LIFETIME.total_seconds()),
            httponly=True,
            secure=self._secure,
            # Not Strict: the way back from the provider would come without it, and begin again.
            samesite="Lax",
        )
        return response

    def sign_out(self) -> web.Response:
        """Forget the session in this browser."""
        body = f'<p>You are signed out here. <a href="{ACCESS_PATH}">Log in again</a></p>'
        response = private_page(200, "Signed out", body)
        response.del_cookie(COOKIE, path=ACCESS_PATH)
        return response
