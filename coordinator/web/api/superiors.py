"""Nobody makes anybody more than they are themselves: users, identities and API keys above one's role.

Who may change users could else become an owner in one request: by a role, by an identity linked to an owner,
or by an API key that has no user or an owner as its user. Asked by `bearer` for the holders of users' keys.
"""

from __future__ import annotations

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.rights import OWNERS_ALONE, may_give
from coordinator.web.api.body import Body, find_user

_USERS = "/api/v1/user/{user_id}"
_KEYS = "/api/v1/apikey"


class Superiors:
    """The check before the verbs."""

    def __init__(self, users: UserService) -> None:
        self._users = users

    async def check(self, request: web.Request, role: str) -> None:
        """Let a request of somebody with this role through, or not.

        Raises:
            ForbiddenError: it is about somebody, or gives a role, above theirs.
            NotFoundError, InvalidError: the user it names does not exist, or its body cannot be read.
        """
        if request.method in ("GET", "HEAD"):
            return
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else ""
        if path == _USERS or path.startswith(_USERS + "/"):
            target = find_user(self._users, request.match_info["user_id"])
            if not may_give(role, target.role):
                raise ForbiddenError(f"the role {role} may not change a user with the role {target.role}")
            given = (await Body.read(request)).text("role")
            if given and not may_give(role, given):
                raise ForbiddenError(f"the role {role} may not give the role {given}")
        elif path == _KEYS:
            body = await Body.read(request)
            if not body.has("user"):
                if role not in OWNERS_ALONE:
                    raise ForbiddenError(
                        "a key without a user may do everything: only an owner makes one; name a `user`"
                    )
                return
            holder = find_user(self._users, body.text("user"))
            if not may_give(role, holder.role):
                raise ForbiddenError(f"the role {role} may not make keys for the role {holder.role}")
