"""Who may ask for access, who may decide, and what a request has to say.

The answers depend on the policy as written, the users and nodes of the moment, and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from acl import AccessProfile, Policy
from acl.problems import nearest
from acl.profiles import default_seconds, max_seconds, open_hours
from acl.tickets import matches
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.bits import indices
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.facts import node_fact
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import Snapshot
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
    mint: bool = False
    """For a machine from outside, which gets a key, and not for the user's own."""


class AccessRules:
    """The guards of requests; each raises what is fit to be shown."""

    def __init__(self, tailnet: Tailnet, policy: PolicyService) -> None:
        self._tailnet = tailnet
        self._policy = policy
        self.has_plain_device: Callable[[int, str], bool] = lambda user_id, profile: False
        """Whether a person has a device outside of the tailnet that waits for a profile."""

    @property
    def policy(self) -> Policy | None:
        """The policy as written; None: everything is allowed."""
        return self._policy.written

    def profiles(self) -> list[AccessProfile]:
        """The profiles of the policy as written."""
        return profiles_of(self.policy)

    def machines(self, request: AccessRequest) -> list[Node]:
        """The machines a request is for: untagged ones of the user, or the minted one; with valid keys."""
        snapshot = self._tailnet.snapshot
        if request.mint:
            return minted_nodes(snapshot, request)
        owned = indices(snapshot.owner_bits.get(request.user_id, 0))
        return [
            record.node
            for record in map(snapshot.records.__getitem__, owned)
            if not record.expired and request.node_id in (None, record.node.id)
        ]

    def profile(self, name: str) -> AccessProfile:
        """A profile by name; NotFoundError with a near name."""
        return profile_of(self.policy, name)

    def closes_at(self, request: AccessRequest, now: datetime) -> datetime | None:
        """When a window closes under the policy of now; None when that would not let it be open at all.

        It asks for the same person, not suspended, for that long. Incidents are their opener's word on who it
        is and how long; they end with the incident or with the profile.
        """
        user = self._tailnet.snapshot.users.get(request.user_id)
        if user is None or user.suspended:
            return None
        for profile in self.profiles():
            if profile.name.text == request.profile:
                if not set(request.mint) <= set(mint_tags(profile)):
                    return None
                if request.incident:
                    return request.closes_at
                people = profile.break_glass if request.break_glass else profile.src
                allowed = self._tailnet.world.policy.means_user([w.text for w in people], request.user_id)
                since = request.opens_at or now
                latest = min(request.closes_at or since, since + timedelta(seconds=max_seconds(profile)))
                return latest if allowed and now < latest else None
        return None

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
        if asked.mint:
            # Whose posture would be asked for is not there yet; the rule that is opened asks for it.
            return
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

    def may_decide(self, profile: AccessProfile, request: AccessRequest, by: User) -> bool:
        """Whether `require_decider` lets the person decide."""
        try:
            self.require_decider(profile, request, by)
        except ForbiddenError:
            return False
        return True

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


def profiles_of(policy: Policy | None) -> list[AccessProfile]:
    """The profiles of a policy."""
    return list(policy.access_profiles) if policy is not None else []


def profile_of(policy: Policy | None, name: str) -> AccessProfile:
    """A profile of a policy by name; NotFoundError with a near name."""
    profiles = profiles_of(policy)
    for profile in profiles:
        if profile.name.text == name:
            return profile
    hint = nearest(name, [profile.name.text for profile in profiles])
    raise NotFoundError(f"the policy has no access profile `{name}`" + (f"; {hint}" if hint else ""))


def mint_tags(profile: AccessProfile) -> tuple[str, ...]:
    """Tags of the machines a profile lets in; none when it lets in none."""
    return tuple(word.text for word in profile.mint or ())


def minted_nodes(snapshot: Snapshot, request: AccessRequest) -> list[Node]:
    """The machine that joined with a request's key, if it did and is in order."""
    key = None if request.key_id is None else snapshot.preauth_keys.get(request.key_id)
    if key is None or not key.used:
        return []
    return [
        record.node
        for record in snapshot.records.values()
        if record.node.auth_key_id == key.id and record.node.tags and not record.secluded
    ]


def tags_to_mint(profile: AccessProfile, asked: Asked) -> tuple[str, ...]:
    """Tags of the machine that is asked for; none for the user's own machines.

    Raises:
        InvalidError: the profile lets no machine in, or one of the user's is named as well.
    """
    if not asked.mint:
        return ()
    if asked.node_id is not None:
        raise InvalidError("a request is for a machine of yours (--node) or for one from outside (--mint)")
    if profile.mint is None:
        raise InvalidError(f"`{profile.name.text}` lets no machine in: it has no `mint` in the policy")
    return mint_tags(profile)


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
