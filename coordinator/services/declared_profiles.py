"""Access profiles declared beside the policy: kept by `wireguard apply`, part of whatever policy is in force.

They are stored apart, so a policy that lives in git stays as it is there; what they mean, and whether they
are right, is decided together with it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from acl import AccessProfile, PolicyError, Problem
from acl.declared import profile_from_text
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.declared_profiles import DeclaredProfile, body_text, differing_keys
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.state import ChangeSet
from coordinator.wireguard.declared_profiles import ProfileItem


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """One difference; `keys` are those of the profile that differ, when it was there before."""

    verb: Literal["create", "change", "delete"]
    name: str
    keys: Sequence[str] = ()


class DeclaredProfiles:
    """Those that are stored, followed commit by commit.

    Args:
        tailnet: Where they are stored.
        stored: As loaded.
    """

    def __init__(self, tailnet: Tailnet, stored: Mapping[str, DeclaredProfile]) -> None:
        self._tailnet = tailnet
        self._stored = dict(stored)
        self._profiles: tuple[AccessProfile, ...] | None = None
        self._listeners: list[Callable[[], None]] = []
        tailnet.on_commit(self._take)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when others are stored, from within the commit."""
        self._listeners.append(listener)

    @property
    def stored(self) -> Mapping[str, DeclaredProfile]:
        """All of them, by name."""
        return self._stored

    def profiles(self) -> tuple[AccessProfile, ...]:
        """All of them as they join a policy, sorted by name.

        Raises:
            PolicyError: another version of the server stored what this one does not understand.
        """
        if self._profiles is None:
            self._profiles = self.profiles_without(frozenset())
        return self._profiles

    def profiles_without(self, names: Container[str]) -> tuple[AccessProfile, ...]:
        """All but some."""
        found: list[AccessProfile] = []
        problems: list[Problem] = []
        for name, each in sorted(self._stored.items()):
            if name in names:
                continue
            try:
                found.append(profile_from_text(name, each.body))
            except PolicyError as error:
                problems += error.problems
        if problems:
            raise PolicyError(problems)
        return tuple(found)

    def differ(self, wanted: Iterable[ProfileItem]) -> bool:
        """Whether others are stored than these."""
        return bodies(wanted) != {name: each.body for name, each in self._stored.items()}

    def put(self, directory: Directory, wanted: Sequence[ProfileItem], actor: Actor) -> list[ProfileChange]:
        """Within a command: store exactly these; returns the differences, what goes first."""
        now, before = self._tailnet.clock(), dict(directory.declared_profiles())
        after = bodies(wanted)
        changes: list[ProfileChange] = []
        for name, former in before.items():
            if name not in after:
                directory.delete_declared(name)
                target = f"profile:{name}"
                directory.audit(now, actor, "profile.delete", target, before=former.value(), name=name)
                changes.append(ProfileChange(verb="delete", name=name))
        for name, body in after.items():
            known = before.get(name)
            if known is not None and known.body == body:
                continue
            profile = DeclaredProfile(name=name, body=body, declared_by=str(actor), since=now)
            directory.put_declared(profile)
            verb: Literal["create", "change"] = "create" if known is None else "change"
            value, was = profile.value(), {} if known is None else known.value()
            target = f"profile:{name}"
            directory.audit(now, actor, f"profile.{verb}", target, value, before=was, name=name)
            keys = () if known is None else differing_keys(was, value)
            changes.append(ProfileChange(verb=verb, name=name, keys=keys))
        return changes

    def _take(self, changes: ChangeSet) -> None:
        if not changes.put_declared and not changes.delete_declared:
            return
        for name in changes.delete_declared:
            self._stored.pop(name, None)
        self._stored |= changes.put_declared
        self._profiles = None
        for listener in self._listeners:
            listener()


def bodies(wanted: Iterable[ProfileItem]) -> dict[str, str]:
    """Texts by name, as they would be stored."""
    return {item.name: body_text(item.body) for item in wanted}
