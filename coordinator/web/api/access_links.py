"""/api/v1/access/requests/…/links: signed one-time links for approvers.

Whoever gets a link can answer as its person. So only those get links who may answer for anybody anyway: the
server's own socket, and keys without a user.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from coordinator.services.access_answers import AccessAnswers, PersonalLinks
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, path_id


class AccessLinkRoutes:
    """Handlers on links.

    Args:
        speaks_for_all: Whether an actor may name any person.
    """

    def __init__(
        self, answers: AccessAnswers, users: UserService, speaks_for_all: Callable[[Actor], bool]
    ) -> None:
        self._answers = answers
        self._users = users
        self._speaks_for_all = speaks_for_all

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.post("/api/v1/access/requests/{request_id}/links", self._links)]

    async def _links(self, request: web.Request) -> web.Response:
        if not self._speaks_for_all(acting()):
            raise ForbiddenError("links for approvers are given to administrators only, not to a user's key")
        body = await Body.read(request)
        people = [find_user(self._users, body.text("user"))] if body.has("user") else []
        made = await self._answers.links(path_id(request, "request_id"), people, actor=acting())
        return web.json_response({"links": [links_view(each) for each in made]})


def links_view(links: PersonalLinks) -> dict[str, str]:
    """One approver's links."""
    return {"user": links.user.login, "approve": links.approve, "deny": links.deny}
