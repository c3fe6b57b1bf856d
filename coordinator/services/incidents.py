"""Incidents: profiles opened for a team at once, under one name, and closed together."""

from __future__ import annotations

from datetime import timedelta

from acl.profiles import host_scoped
from coordinator.services.access import AccessService
from coordinator.services.access_windows import record_step
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.tailnet.users import User, require_active


class IncidentService:
    """Verbs on incidents; their windows are ordinary requests that carry the incident's name."""

    def __init__(self, tailnet: Tailnet, access: AccessService) -> None:
        self._tailnet = tailnet
        self._access = access

    async def open(
        self,
        name: str,
        profiles: list[str],
        people: list[User],
        duration: timedelta,
        *,
        commander: User | None = None,
        actor: Actor,
    ) -> list[AccessRequest]:
        """Open profiles for a team at once, under one name.

        Raises:
            ConflictError: an incident of that name is open.
            InvalidError: no name, nobody, or a duration that is not positive.
        """
        if not name or not people or not profiles or duration <= timedelta():
            raise InvalidError("an incident needs a name, profiles, people and a duration such as 4h")
        found = [self._access.rules.profile(text) for text in profiles]
        now = self._tailnet.clock()
        who = commander.login if commander is not None else ""

        def command(directory: Directory) -> list[AccessRequest]:
            same = [each for each in directory.access_requests() if each.incident == name]
            if any(self._access.state(each) == "active" for each in same):
                raise ConflictError(f"incident `{name}` is open already")
            opened = []
            for person in people:
                require_active(directory.user(person.id))
                for profile in found:
                    request = AccessRequest(
                        id=directory.next_id("access"),
                        profile=profile.name.text,
                        user_id=person.id,
                        node_id=None,
                        duration=duration,
                        reason=f"incident {name}",
                        ticket="",
                        requested_at=now,
                        answer_by=now,
                        host_scoped=host_scoped(profile),
                        incident=name,
                    ).opened(now)
                    record_step(now, directory, "access.incident", request, actor, who)
                    directory.put_access(request)
                    opened.append(request)
            return opened

        return await self._tailnet.execute(command)

    async def close(self, name: str, *, actor: Actor) -> list[AccessRequest]:
        """End every window of an incident; returns all of its requests."""
        ids = [request.id for request in self._access.requests.values() if request.incident == name]
        if not ids:
            raise NotFoundError(f"there is no incident `{name}`")

        def command(directory: Directory) -> list[AccessRequest]:
            now, ended = self._tailnet.clock(), []
            for request_id in ids:
                request = directory.access(request_id)
                if request.state(now) in ("active", "approved"):
                    request = request.ended(now, str(actor), "incident closed")
                    record_step(now, directory, "access.incident_close", request, actor)
                    directory.put_access(request)
                ended.append(request)
            return ended

        return await self._tailnet.execute(command)
