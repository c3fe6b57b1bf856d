"""Which plain WireGuard peers may be used at a moment, and until when.

It follows from stored facts, the policy and the time, like the access windows themselves: a standing peer
from its own times; every other from the windows of its person that are open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from acl.profiles import open_hours
from coordinator.services.access import AccessService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.users import UserID
from coordinator.wireguard.model import Peer
from coordinator.wireguard.wish import Opening

PeerState = Literal["active", "waiting", "scheduled", "unreadable", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNow:
    """Open windows: by person and profile, and by request."""

    profiles: Mapping[tuple[int, str], Opening] = field(default_factory=dict)
    requests: Mapping[int, Opening] = field(default_factory=dict)


class WireGuardOpenings:
    """Answers from the requests for access of the moment."""

    def __init__(self, tailnet: Tailnet, access: AccessService) -> None:
        self._tailnet = tailnet
        self._access = access

    def open_now(self, now: datetime) -> OpenNow:
        """What is open. A window for one machine of the tailnet is open for that machine alone."""
        profiles: dict[tuple[int, str], Opening] = {}
        requests: dict[int, Opening] = {}
        for request in self._access.requests.values():
            if request.node_id is not None or request.mint:
                continue
            opening = self._opening(request, now)
            if opening is None:
                continue
            requests[request.id] = opening
            place = (request.user_id, request.profile)
            profiles[place] = _longer(profiles.get(place), opening)
        return OpenNow(profiles=profiles, requests=requests)

    def opening(self, peer: Peer, now: datetime, open_now: OpenNow) -> Opening | None:
        """When a peer may be used, if it may now."""
        if not peer.live or now < peer.since or (peer.until is not None and peer.until <= now):
            return None
        if peer.newest_key().unreadable:
            return None
        if peer.user_id is not None:
            user = self._tailnet.snapshot.users.get(UserID(peer.user_id))
            if user is None or user.suspended:
                return None
        if peer.basis == "standing":
            return Opening(not_before=peer.since, not_after=peer.until)
        if peer.basis == "request":
            found = open_now.requests.get(peer.access_id or 0)
        else:
            found = open_now.profiles.get((peer.user_id or 0, peer.profile))
        if found is None or peer.until is None:
            return found
        return Opening(
            not_before=max(found.not_before, peer.since),
            not_after=min(found.not_after or peer.until, peer.until),
        )

    def state(self, peer: Peer, now: datetime, open_now: OpenNow | None = None) -> PeerState:
        """Where a peer stands."""
        if not peer.live or (peer.until is not None and peer.until <= now):
            return "ended"
        if now < peer.since:
            return "scheduled"
        if peer.newest_key().unreadable:
            return "unreadable"
        opening = self.opening(peer, now, self.open_now(now) if open_now is None else open_now)
        return "waiting" if opening is None else "active"

    def pending(self, user_id: int, profile: str, now: datetime) -> AccessRequest | None:
        """The newest request of a person for a profile that is open or may still be."""
        for request in self._access.newest_first():
            asked_here = request.user_id == user_id and request.profile == profile
            for_people = request.node_id is None and not request.mint
            if asked_here and for_people and request.state(now) in _LIVING:
                return request
        return None

    def over(self, request_id: int, now: datetime) -> bool:
        """Whether a request can never be open again."""
        request = self._access.requests.get(request_id)
        return request is None or request.state(now) not in _LIVING

    def _opening(self, request: AccessRequest, now: datetime) -> Opening | None:
        """The window of a request, if it is open.

        The gateway closes by itself at the end: that of the window as the policy of now has it, or of the
        hours of the day.
        """
        # Most requests ended long ago; only of the others the policy has to be asked.
        rules = self._access.rules
        if request.state(now) != "active" or not rules.in_hours(request, now):
            return None
        end = rules.closes_at(request, now)
        if end is None or request.opens_at is None:
            return None
        if not request.break_glass and not request.incident:
            for profile in rules.profiles():
                hours = open_hours(profile) if profile.name.text == request.profile else None
                evening = hours.end_after(now) if hours is not None else None
                end = end if evening is None else min(end, evening)
        return Opening(not_before=request.opens_at, not_after=end)


_LIVING = ("requested", "approved", "active")


def _longer(one: Opening | None, other: Opening) -> Opening:
    """Two windows of the same person for the same profile are open as long as either."""
    if one is None:
        return other
    ends = (one.not_after, other.not_after)
    return Opening(
        not_before=min(one.not_before, other.not_before),
        not_after=None if None in ends else max(end for end in ends if end is not None),
    )
