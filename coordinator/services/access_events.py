"""Entries of the audit log as events on access, with the request as it is now."""

from __future__ import annotations

import json

from acl.profiles import approvals_needed
from coordinator.audit.entry import SealedEntry
from coordinator.services.access import AccessService
from coordinator.services.access_people import AccessPeople
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import NotFoundError
from coordinator.webhooks.events import EVENT_OF, AccessEvent


class AccessEvents:
    """Describes steps of requests."""

    def __init__(self, tailnet: Tailnet, access: AccessService, people: AccessPeople) -> None:
        self._tailnet = tailnet
        self._access = access
        self._people = people

    async def describe(self, entry: SealedEntry) -> AccessEvent | None:
        """The event an entry is; None for all others, and where the next entry says more."""
        name = EVENT_OF.get(entry.action)
        if name is None or entry.object_kind != "access" or not entry.object_id.isdecimal():
            return None
        request = await self._request(int(entry.object_id))
        if request is None:
            return None
        if name == "requested" and request.opens_at == request.requested_at and not request.approvals:
            return None  # opened at once, which is told by the entry behind this one
        return AccessEvent(
            id=entry.id,
            at=entry.at,
            name=name,
            request=request,
            state=self._access.state(request),
            user=self._people.login(request.user_id),
            machine=self._people.machine(request),
            by=_who(entry),
            approvals_needed=self._needed(request),
            approvers=self._approvers(request) if name == "requested" else (),
        )

    async def _request(self, request_id: int) -> AccessRequest | None:
        """From the writer, which has it by the time the entry is in the log."""

        def command(directory: Directory) -> AccessRequest | None:
            try:
                return directory.access(request_id)
            except NotFoundError:
                return None

        return await self._tailnet.execute(command)

    def _approvers(self, request: AccessRequest) -> tuple[str, ...]:
        return tuple(user.login for user in self._people.approvers(request))

    def _needed(self, request: AccessRequest) -> int:
        try:
            return approvals_needed(self._access.rules.profile(request.profile))
        except NotFoundError:
            return 0


def _who(entry: SealedEntry) -> str:
    """The person, also where an administrator acted for them."""
    person = json.loads(entry.after).get("acting_for")
    return person if isinstance(person, str) and person else f"{entry.actor_kind}:{entry.actor_name}"
