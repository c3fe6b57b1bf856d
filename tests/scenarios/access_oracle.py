"""What just-in-time access ought to do, in as few words as possible: the oracle of `test_access_model`.

No classes of the product, no caches, no increments: plain records, and a question about one moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class Profile:
    """As in the policy; `hours`: working days from and to so many o'clock, UTC."""

    src: set[int]
    tag: str
    ports: tuple[int, ...] = (22,)
    approvers: set[int] = field(default_factory=set)
    approvals: int = 1
    break_glass: set[int] = field(default_factory=set)
    longest: timedelta = timedelta(hours=4)
    max_active: int = 99
    managed: bool = False
    hours: tuple[int, int] | None = None
    ssh: bool = False

    def in_hours(self, now: datetime) -> bool:
        if self.hours is None:
            return True
        return now.weekday() < 5 and self.hours[0] <= now.hour < self.hours[1]

    @property
    def needed(self) -> int:
        return self.approvals if self.approvers else 0


@dataclass
class Machine:
    """One machine; `owner` counts only without `tag`."""

    owner: int
    tag: str = ""
    managed: bool = False
    expired: bool = False


@dataclass
class Asked:
    """One request, and what was said about it."""

    profile: str
    user: int
    node: int | None
    duration: timedelta
    answer_by: datetime
    break_glass: bool = False
    incident: str = ""
    approved_by: set[str] = field(default_factory=set)
    opens: datetime | None = None
    closes: datetime | None = None
    over: bool = False
    """Denied, revoked, given back, or an end that was put on record."""

    def waits(self, now: datetime) -> bool:
        return not self.over and self.opens is None and now < self.answer_by

    def granted(self, now: datetime) -> bool:
        """Whether the window is, or could be, open; whatever the policy says."""
        return not self.over and self.closes is not None and now < self.closes


@dataclass
class Oracle:
    """The whole story so far."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    machines: dict[int, Machine] = field(default_factory=dict)
    suspended: set[int] = field(default_factory=set)
    asked: dict[int, Asked] = field(default_factory=dict)

    def entitled(self, request: Asked, now: datetime) -> bool:
        """Whether the policy and the people of now carry the request."""
        profile = self.profiles.get(request.profile)
        if profile is None or request.user in self.suspended:
            return False
        if request.incident:
            return True
        people = profile.break_glass if request.break_glass else profile.src
        since = request.opens or now
        return request.user in people and now < since + profile.longest

    def settle(self, now: datetime) -> None:
        """Time passes: what is over by now stays over, whatever the clock does later."""
        for request in self.asked.values():
            limit = request.answer_by if request.closes is None else request.closes
            if limit <= now or (request.opens is not None and not self.entitled(request, now)):
                request.over = True

    def open_at(self, request: Asked, now: datetime) -> bool:
        """Whether its window is open at a moment."""
        if not request.granted(now) or request.opens is None or now < request.opens:
            return False
        profile = self.profiles[request.profile] if self.entitled(request, now) else None
        return profile is not None and (
            request.break_glass or bool(request.incident) or profile.in_hours(now)
        )

    def active(self, name: str, now: datetime) -> int:
        """How many windows of a profile count against its `maxActive`."""
        found = (each for each in self.asked.values() if each.profile == name and each.granted(now))
        return sum(each.opens is not None and each.opens <= now for each in found)

    def reach(self, now: datetime) -> set[tuple[int, int, int]]:
        """(source machine, destination machine, port) of everything that is open."""
        found = set()
        for request in self.asked.values():
            if not self.open_at(request, now):
                continue
            profile = self.profiles[request.profile]
            for number, machine in self.machines.items():
                if machine.tag or machine.owner != request.user or request.node not in (None, number):
                    continue
                if machine.expired or (profile.managed and not machine.managed):
                    continue
                for other, target in self.machines.items():
                    if target.tag == profile.tag:
                        found |= {(number, other, port) for port in profile.ports}
        return found

    def logins(self, now: datetime) -> set[tuple[int, int]]:
        """(source, destination) between which SSH logins are open."""
        opened: set[tuple[int, int]] = set()
        for request in self.asked.values():
            alone = Oracle(self.profiles, self.machines, self.suspended, {1: request})
            if request.profile in self.profiles and self.profiles[request.profile].ssh:
                opened |= {(source, other) for source, other, _ in alone.reach(now)}
        return opened

    # what may be done

    def may_ask(self, request: Asked, now: datetime) -> bool:
        profile = self.profiles.get(request.profile)
        if profile is None or request.user in self.suspended or request.duration > profile.longest:
            return False
        if request.user not in (profile.break_glass if request.break_glass else profile.src):
            return False
        if not request.break_glass and not profile.in_hours(now):
            return False
        own = {n: m for n, m in self.machines.items() if not m.tag and m.owner == request.user}
        if request.node is not None:
            own = {n: m for n, m in own.items() if n == request.node}
        if not any(machine.managed or not profile.managed for machine in own.values()):
            return False
        at_once = request.break_glass or not profile.needed
        return not at_once or self.active(request.profile, now) < profile.max_active

    def may_decide(self, request: Asked, by: int | None) -> bool:
        """None: the administrator."""
        profile = self.profiles.get(request.profile)
        if by is None or profile is None:
            return profile is not None
        return by != request.user and by not in self.suspended and by in profile.approvers

    def may_approve(self, request: Asked, by: int | None, now: datetime) -> bool:
        if not request.waits(now) or not self.may_decide(request, by) or str(by) in request.approved_by:
            return False
        profile = self.profiles[request.profile]
        if len(request.approved_by) + 1 < profile.needed:
            return True
        return profile.in_hours(now) and self.active(request.profile, now) < profile.max_active

    def may_extend(self, request: Asked, by: int | None, more: timedelta, now: datetime) -> bool:
        if not request.granted(now) or not self.may_decide(request, by):
            return False
        assert request.opens is not None
        assert request.closes is not None
        return request.closes + more - request.opens <= self.profiles[request.profile].longest

    def may_end(self, request: Asked, by: int | None, now: datetime) -> bool:
        """Revoke, or give back."""
        own = by is None or by == request.user
        return (request.waits(now) or request.granted(now)) and (own or self.may_decide(request, by))
