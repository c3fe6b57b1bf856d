"""What a person may see and do with requests for access in their own name.

An administrator (no person) sees everything. Somebody whose role reads access sees everything too; everybody
else sees what they asked for and what they may decide, and of other requests not even that they exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from acl import AccessProfile
from acl.document import Word
from coordinator.services.access_rules import AccessRules
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.rights import Right, may
from coordinator.tailnet.users import User


class AccessScope:
    """Questions about one person; None stands for an administrator everywhere."""

    def __init__(self, tailnet: Tailnet, rules: AccessRules) -> None:
        self._tailnet = tailnet
        self._rules = rules

    def profiles(self, person: User | None) -> list[AccessProfile]:
        """The profiles that concern somebody: to ask for, to break the glass of, or to decide about."""
        return [
            profile
            for profile in self._rules.profiles()
            if _sees_all(person)
            or self._means((*profile.src, *profile.break_glass, *profile.approvers), person)
        ]

    def visible(self, requests: Iterable[AccessRequest], person: User | None) -> list[AccessRequest]:
        """Those of some requests that concern somebody."""
        if person is None or _sees_all(person):
            return list(requests)
        decided = {
            profile.name.text for profile in self._rules.profiles() if self._means(profile.approvers, person)
        }
        return [each for each in requests if each.user_id == person.id or each.profile in decided]

    def require_right(self, person: User | None, right: Right) -> None:
        """Refuse somebody whose role lacks a right.

        Raises:
            ForbiddenError: says which.
        """
        if person is not None and not may(person.role, right):
            raise ForbiddenError(f"the role {person.role} of `{person.login}` lacks the right {right}")

    def require_reviewer(self, person: User | None, request: AccessRequest) -> None:
        """A break-glass opening is reviewed by an approver of its profile, or by whoever manages access.

        Raises:
            ForbiddenError: this person is neither.
        """
        if person is None or may(person.role, "access:write"):
            return
        for profile in self._rules.profiles():
            if profile.name.text == request.profile and self._means(profile.approvers, person):
                return
        raise ForbiddenError(f"user `{person.login}` is no approver of `{request.profile}`")

    def _means(self, words: Iterable[Word], person: User | None) -> bool:
        texts = [word.text for word in words]
        return person is not None and self._tailnet.world.policy.means_user(texts, person.id)


def _sees_all(person: User | None) -> bool:
    return person is None or may(person.role, "access:read")
