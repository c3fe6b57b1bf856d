"""In whose name a request on `/api/v1/access` acts.

A proven person acts for themselves alone, whatever the body says; otherwise "nobody approves their own
request" would hold only for those who do not think of naming somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.services.access import AccessService
from coordinator.services.users import UserService
from coordinator.tailnet.errors import ForbiddenError, NotFoundError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.users import User
from coordinator.web.api.body import Body, find_user
from coordinator.web.visitors import Visitor, visitor


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and for which machine; None: for all of theirs."""

    user: User
    node: Node | None


class AccessPersons:
    """Reads people off bodies, and off the request's proof of identity."""

    def __init__(self, access: AccessService, users: UserService) -> None:
        self._access = access
        self._users = users

    def asker(self, body: Body) -> Asker:
        """Who asks.

        Raises:
            ForbiddenError: a proven person named somebody else, or another machine than the one they use.
            InvalidError: nobody is named.
            NotFoundError: no such user or machine.
        """
        person = visitor()
        node = self._access.node(body.text("node")) if body.has("node") else None
        if person is not None:
            self._named(person, body, "user")
            return Asker(person.user, self._own_machine(person, node))
        owner = self._access.owner_of(node) if node is not None else None
        if owner is not None and not body.has("user"):
            return Asker(owner, node)
        return Asker(find_user(self._users, body.text("user")), node)

    def decider(self, body: Body) -> User | None:
        """Who decides; None: the administrator.

        Raises:
            ForbiddenError: a proven person named somebody else.
        """
        return self._one(body, "as")

    def commander(self, body: Body, people: list[User]) -> User | None:
        """Who opens an incident for these people.

        Raises:
            ForbiddenError: a proven person named another commander, or themselves among the people: that
                would be access nobody else agreed to.
        """
        person = visitor()
        if person is not None and person.user.id in {each.id for each in people}:
            raise ForbiddenError(
                f"{person.user.login} cannot open an incident for themselves: somebody else has to, or use "
                "break-glass"
            )
        return self._one(body, "commander")

    def _one(self, body: Body, field: str) -> User | None:
        person = visitor()
        if person is not None:
            self._named(person, body, field)
            return person.user
        return find_user(self._users, body.text(field)) if body.has(field) else None

    def _named(self, person: Visitor, body: Body, field: str) -> None:
        """What the body says of the person may be left out, and has to be true."""
        if not body.has(field):
            return
        try:
            named = find_user(self._users, body.text(field))
        except NotFoundError:
            named = None
        if named is None or named.id != person.user.id:
            raise ForbiddenError(
                f"you are `{person.user.login}` here: leave `{field}` out, or use another key"
            )

    def _own_machine(self, person: Visitor, node: Node | None) -> Node | None:
        """The machine somebody is on, where it proved who they are; any of theirs otherwise."""
        if person.node is None:
            return node
        if node is not None and node.id != person.node.id:
            raise ForbiddenError(
                f"this is the machine `{person.node.given_name}`: ask from `{node.given_name}` for that one"
            )
        return person.node
