"""Who may ask for access, who may decide, and what a request has to say.

The answers depend on the policy as written, the users and nodes of the moment, and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from acl import AccessProfile
from acl.problems import nearest
from acl.profiles import default_seconds, max_seconds, open_hours
from acl.tickets import matches
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.facts import node_fact
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.users import User, require_active

MAX_TEXT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks for; `duration` None: the profile's default."""

    profile: str
    user: User
    node_id: int | None = None
    duration: timedelta | None = None
    reason: str = ""
    ticket: str = ""
    break_glass: bool = False
    plain: bool = False
    """Asked for by a device that is no machine of the tailnet."""


class AccessRules:
    """The guards of requests; each raises what is fit to be shown."""

    def __init__(self, tailnet: Tailnet, policy: PolicyService) -> None:
        self._tailnet = tailnet
        self._policy = policy
        self.has_plain_device: Callable[[int, str], bool] = lambda user_id, profile: False
        """Whether a person has a device outside of the tailnet that waits for a profile."""

    def profiles(self) -> list[AccessProfile]:
        """The profiles of the policy as written."""
        written = self._policy.written
        return list(written.access_profiles) if written is not None else []

    def machines(self, request: AccessRequest) -> list[Node]:
        """The machines a request is for: untagged ones of the user whose keys are valid."""
        snapshot = self._tailnet.snapshot
        return [
            record.node
            for record in snapshot.records.values()
            if record.node.user_id == request.user_id
            and not record.node.tags
            and not record.expired
            and request.node_id in (None, record.node.id)
        ]

    def profile(self, name: str) -> AccessProfile:
        """A profile by name; NotFoundError with a near name."""
        for profile in self.profiles():
            if profile.name.text == name:
                return profile
        hint = nearest(name, [profile.name.text for profile in self.profiles()])
        raise NotFoundError(f"the policy has no access profile `{name}`" + (f"; {hint}" if hint else ""))

    def still_allowed(self, request: AccessRequest, now: datetime) -> bool:
        """Whether the policy of now would let this window be open: the same person, for that long.

        Incidents are their opener's word and end with the incident.
        """
        if request.incident:
            return True
        for profile in self.profiles():
            if profile.name.text == request.profile:
                people = profile.break_glass if request.break_glass else profile.src
                allowed = self._tailnet.world.policy.means_user([w.text for w in people], request.user_id)
                since = request.opens_at or now
                return allowed and now < since + timedelta(seconds=max_seconds(profile))
        return False

    def in_hours(self, request: AccessRequest, now: datetime) -> bool:
        """Break-glass and incidents do not wait for office hours."""
        if request.break_glass or request.incident:
            return True
        for profile in self.profiles():
            if profile.name.text == request.profile:
                hours = open_hours(profile)
                return hours is None or hours.holds(now)
        return True

    def require_allowed(self, profile: AccessProfile, asked: Asked, now: datetime) -> None:
        """The person may ask for this, at this hour, from a machine that is in order."""
        index = self._tailnet.world.policy
        name = profile.name.text
        selectors = profile.break_glass if asked.break_glass else profile.src
        if not index.means_user([word.text for word in selectors], asked.user.id):
            what = "break the glass of" if asked.break_glass else "ask for"
            raise ForbiddenError(f"user `{asked.user.login}` may not {what} `{name}`")
        hours = open_hours(profile)
        if hours is not None and not asked.break_glass and not hours.holds(now):
            raise ForbiddenError(f"`{name}` opens only {hours_text(profile)}")
        postures = [word.text for word in profile.src_posture]
        plain = asked.plain or self.has_plain_device(asked.user.id, name)
        if plain and asked.node_id is None and not postures:
            return
        machines = self.asking_machines(asked)
        fit = [node for node in machines if index.has_posture(postures, node_fact(node, 0))]
        if not fit:
            wanted = " or ".join(postures)
            raise ForbiddenError(f"no machine of `{asked.user.login}` that is asked for has {wanted}")

    def asking_machines(self, asked: Asked) -> list[Node]:
        """The machines it would be opened for."""
        snapshot = self._tailnet.snapshot
        if asked.node_id is not None:
            record = snapshot.record(NodeID(asked.node_id))
            if record is None:
                raise NotFoundError(f"node {asked.node_id} does not exist")
            if record.node.tags or record.node.user_id != asked.user.id:
                raise ForbiddenError(f"node {asked.node_id} does not belong to `{asked.user.login}`")
            return [record.node]
        owned = [
            record.node
            for record in snapshot.records.values()
            if record.node.user_id == asked.user.id and not record.node.tags
        ]
        if not owned:
            raise ConflictError(f"user `{asked.user.login}` has no machine to open anything for")
        return owned

    def require_decider(self, profile: AccessProfile, request: AccessRequest, by: User | None) -> None:
        """The person may decide this; None is the administrator on the server."""
        if by is None:
            return
        if by.id == request.user_id:
            raise ForbiddenError(f"{by.login} asked for request {request.id}: somebody else has to decide")
        require_active(by)
        if not self._tailnet.world.policy.means_user([word.text for word in profile.approvers], by.id):
            raise ForbiddenError(f"user `{by.login}` is no approver of `{profile.name.text}`")

    def require_room(self, profile: AccessProfile, requests: Iterable[AccessRequest], now: datetime) -> None:
        """Fewer windows are open than the profile allows."""
        if profile.max_active is None:
            return
        active = sum(
            request.profile == profile.name.text and request.state(now) == "active" for request in requests
        )
        if active >= profile.max_active:
            raise ConflictError(
                f"`{profile.name.text}` is open {active} times already, and its maxActive is "
                f"{profile.max_active}; try again when one has closed"
            )


def duration_of(profile: AccessProfile, wanted: timedelta | None) -> timedelta:
    """How long a window is to be open; InvalidError when that is longer than the profile allows."""
    if wanted is None:
        return timedelta(seconds=default_seconds(profile))
    if wanted <= timedelta():
        raise InvalidError("a window is open for a positive time, such as 90m")
    longest = timedelta(seconds=max_seconds(profile))
    if wanted > longest:
        raise InvalidError(f"`{profile.name.text}` may be open for {longest} at most")
    return wanted


def require_texts(profile: AccessProfile, asked: Asked) -> None:
    """Reason and ticket are as the profile wants them."""
    for name, text in (("reason", asked.reason), ("ticket", asked.ticket)):
        if len(text) > MAX_TEXT:
            raise InvalidError(f"the {name} is longer than {MAX_TEXT} characters")
    if profile.reason is not None and profile.reason.text == "required" and not asked.reason.strip():
        raise InvalidError(f"`{profile.name.text}` needs a reason (--reason)")
    if profile.ticket is not None and not matches(profile.ticket.text, asked.ticket):
        raise InvalidError(
            f"`{profile.name.text}` needs a ticket (--ticket) that fits {profile.ticket.text}, "
            f"and `{asked.ticket}` does not"
        )


def hours_text(profile: AccessProfile) -> str:
    """The hours as written."""
    return profile.hours.text if profile.hours is not None else ""
