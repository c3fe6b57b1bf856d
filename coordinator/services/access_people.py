"""Who may ask for what, and whose answer a request waits for; by the policy and the users of the moment."""

from __future__ import annotations

from collections.abc import Iterable

from acl import AccessProfile
from coordinator.services.access import AccessService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.users import User, UserID


class AccessPeople:
    """Questions about people; nothing here changes anything."""

    def __init__(self, tailnet: Tailnet, access: AccessService) -> None:
        self._tailnet = tailnet
        self._access = access

    def user(self, user_id: int) -> User | None:
        """A user as they are now; None for one who was deleted."""
        return self._tailnet.snapshot.users.get(UserID(user_id))

    def login(self, user_id: int) -> str:
        """A user's login; a stand-in for one who was deleted."""
        user = self.user(user_id)
        return user.login if user is not None else f"user-{user_id}"

    def machines(self, user: User) -> list[Node]:
        """The untagged machines of a user, by name."""
        records = self._tailnet.snapshot.records.values()
        own = [each.node for each in records if each.node.user_id == user.id and not each.node.tags]
        return sorted(own, key=lambda node: node.given_name)

    def machine(self, request: AccessRequest) -> str:
        """What a request is for, for people: a machine's name, all of them, or one from outside."""
        if request.mint:
            return f"a machine from outside, as {', '.join(request.mint)}"
        if request.node_id is None:
            return "all machines"
        for record in self._tailnet.snapshot.records.values():
            if record.node.id == request.node_id:
                return record.node.given_name
        return f"node {request.node_id}, which is gone"

    def opens(self, request: AccessRequest) -> str:
        """What a request would open by the policy of now; empty when its profile is gone."""
        for profile in self._access.rules.profiles():
            if profile.name.text == request.profile:
                return ", ".join(word.text for word in profile.dst)
        return ""

    def may_ask(self, user: User, profile: AccessProfile) -> bool:
        """Whether the profile's `src` means them."""
        return self._means([word.text for word in profile.src], user)

    def may_break_glass(self, user: User, profile: AccessProfile) -> bool:
        """Whether the profile's `breakGlass` means them."""
        return self._means([word.text for word in profile.break_glass], user)

    def profiles(self, user: User) -> list[AccessProfile]:
        """What a user may ask for, in the usual way or by break-glass."""
        return [
            profile
            for profile in self._access.rules.profiles()
            if self.may_ask(user, profile) or self.may_break_glass(user, profile)
        ]

    def may_answer(self, user: User, request: AccessRequest) -> bool:
        """Whether a user is somebody whose answer the request waits for, now."""
        return bool(self._answering([user], request))

    @staticmethod
    def has_approved(user: User, request: AccessRequest) -> bool:
        """Whether they have said yes already."""
        return any(approval.person in (user.id, user.login) for approval in request.approvals)

    def approvers(self, request: AccessRequest) -> list[User]:
        """Everybody whose answer the request waits for, by login."""
        found = self._answering(self._tailnet.snapshot.users.values(), request)
        return sorted(found, key=lambda user: user.login)

    def waiting_for(self, user: User) -> list[AccessRequest]:
        """Requests a user may answer, oldest first."""
        found = [each for each in self._access.requests.values() if self.may_answer(user, each)]
        return sorted(found, key=lambda request: request.id)

    def requests_of(self, user: User) -> list[AccessRequest]:
        """What a user has asked for, newest first."""
        return [each for each in self._access.newest_first() if each.user_id == user.id]

    def _answering(self, users: Iterable[User], request: AccessRequest) -> list[User]:
        if self._access.state(request) != "requested":
            return []
        rules = self._access.rules
        try:
            profile = rules.profile(request.profile)
        except NotFoundError:
            return []
        return [
            user
            for user in users
            if not self.has_approved(user, request) and rules.may_decide(profile, request, user)
        ]

    def _means(self, selectors: list[str], user: User) -> bool:
        return not user.suspended and self._tailnet.world.policy.means_user(selectors, user.id)
