"""Access profiles: what may be opened for a while, for whom, and who approves (the `access` section).

Here: what a profile says, its checks, and the rules an open window adds to a policy. Not here: requests and
their life (the server keeps them), and the compiling of rules (`compile`). Read by `reading`, called by
`validate` and by whoever puts windows in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from acl.addresses import TAILNET
from acl.document import AccessProfile, Acl, Grant, Policy, SshEntry, Word, Words
from acl.durations import DurationError, parse_duration
from acl.hours import Hours, HoursError, parse_hours
from acl.placement import Names, Place, check_selector, problem
from acl.problems import Problem
from acl.selectors import SelectorKind, parse_selector, split_destination
from acl.tickets import PatternError, check_pattern
from acl.validate_rules import check_acl, check_grant, check_via

__all__ = [
    "OpenWindow",
    "approvals_needed",
    "check_profile",
    "default_seconds",
    "duration_seconds",
    "host_scoped",
    "max_seconds",
    "open_hours",
    "unanswered_seconds",
    "with_windows",
]

REASONS = ("", "required", "optional")
DEFAULT_SECONDS = 3600.0
UNANSWERED_SECONDS = 3600.0
MAX_SECONDS = 30 * 86400.0
_MACHINES = (
    SelectorKind.USER,
    SelectorKind.GROUP,
    SelectorKind.TAG,
    SelectorKind.AUTOGROUP,
    SelectorKind.DOMAIN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWindow:
    """A window that is open: a profile, and the addresses of the machines it is open for."""

    profile: str
    sources: tuple[str, ...]


def default_seconds(profile: AccessProfile) -> float:
    """How long a window lasts when nobody says."""
    return min(seconds_of(profile.default_duration, DEFAULT_SECONDS), max_seconds(profile))


def max_seconds(profile: AccessProfile) -> float:
    """How long a window may last."""
    longest = seconds_of(profile.max_duration, 0.0)
    return longest or seconds_of(profile.default_duration, DEFAULT_SECONDS)


def unanswered_seconds(profile: AccessProfile) -> float:
    """How long a request waits for an answer."""
    return seconds_of(profile.unanswered, UNANSWERED_SECONDS)


def approvals_needed(profile: AccessProfile) -> int:
    """How many people have to approve; without approvers a request opens by itself."""
    if not profile.approvers:
        return 0
    return 1 if profile.approvals is None else profile.approvals


def open_hours(profile: AccessProfile) -> Hours | None:
    """When windows may be open; None: always."""
    return None if profile.hours is None else parse_hours(profile.hours.text)


def host_scoped(profile: AccessProfile) -> bool:
    """Whether it opens machines, not networks."""
    for word in profile.dst:
        selector = parse_selector(split_destination(word.text)[0])
        wide = selector.prefix is not None and selector.prefix.first != selector.prefix.last
        if wide or selector.kind in (SelectorKind.WILDCARD, SelectorKind.IPSET):
            return False
        if selector.text == "autogroup:internet":
            return False
    return True


def seconds_of(word: Word | None, default: float) -> float:
    """A duration such as `90m` or `7d`; the default where there is none.

    Raises:
        DurationError: it is no duration.
    """
    return default if word is None or not word.text.strip() else duration_seconds(word.text)


def duration_seconds(text: str) -> float:
    """Seconds of a duration such as `90m` or `7d`.

    Raises:
        DurationError: it is no duration.
    """
    text = text.strip()
    if text.endswith("d") and text[:-1].isascii() and text[:-1].isdecimal():
        return float(text[:-1]) * 86400
    return parse_duration(text) / 1e9


def check_profile(profile: AccessProfile, names: Names) -> Iterator[Problem]:
    """The problems of one profile."""
    rules = list(_rules(profile, (), profile.src))
    for acl, grant in rules:
        yield from () if acl is None else check_acl(acl, names)
        yield from () if grant is None else check_grant(grant, names)
    if not any(grant for _, grant in rules):
        yield from check_via(profile.via, names)
    if not profile.dst:
        yield problem(
            "empty-profile", f"{_where(profile)}: dst is empty: nothing would be opened", profile.span
        )
    if not profile.src and not profile.break_glass:
        message = f"{_where(profile)}: src is empty: nobody could ask"
        yield problem("empty-profile", message, profile.span)
    for word in (*profile.approvers, *profile.break_glass):
        found = check_selector(word, Place.OWNER, names)
        if found is not None:
            yield found
        elif parse_selector(word.text).kind is SelectorKind.TAG:
            yield problem("tag-approver", f"{_where(profile)}: a tag is nobody who could decide", word.span)
    yield from _check_mint(profile, names)
    yield from _check_numbers(profile)
    yield from _check_texts(profile)


def _check_mint(profile: AccessProfile, names: Names) -> Iterator[Problem]:
    if profile.mint is None:
        return
    where = f"{_where(profile)}.mint.tags"
    if not profile.mint:
        yield problem(
            "empty-profile", f"{where} is empty: a minted machine belongs to its tags", profile.span
        )
    for word in profile.mint:
        if parse_selector(word.text).kind is not SelectorKind.TAG:
            yield problem("misplaced-selector", f'{where}: "{word.text}" is no tag', word.span)
        elif (found := check_selector(word, Place.OWNER, names)) is not None:
            yield found


def _check_numbers(profile: AccessProfile) -> Iterator[Problem]:
    where = _where(profile)
    durations = {
        "defaultDuration": profile.default_duration,
        "maxDuration": profile.max_duration,
        "unanswered": profile.unanswered,
    }
    found: dict[str, float] = {}
    for key, word in durations.items():
        try:
            seconds = seconds_of(word, 1.0)
        except DurationError as error:
            assert word is not None
            yield problem("bad-duration", f"{where}.{key}: {error}", word.span)
            continue
        if word is not None and not 0 < seconds <= MAX_SECONDS:
            yield problem("bad-duration", f"{where}.{key}: must be more than 0 and at most 30d", word.span)
        elif word is not None:
            found[key] = seconds
    default, longest = found.get("defaultDuration"), found.get("maxDuration")
    if default is not None and longest is not None and default > longest:
        assert profile.default_duration is not None
        message = f"{where}: defaultDuration is longer than maxDuration"
        yield problem("bad-duration", message, profile.default_duration.span)
    if profile.approvals is not None and profile.approvals < 1:
        yield problem("bad-number", f"{where}.approvals: must be 1 or more", profile.span)
    if profile.approvals is not None and not profile.approvers:
        message = f"{where}: approvals without approvers: nobody could approve"
        yield problem("bad-number", message, profile.span)
    if profile.max_active is not None and profile.max_active < 1:
        yield problem("bad-number", f"{where}.maxActive: must be 1 or more", profile.span)


def _check_texts(profile: AccessProfile) -> Iterator[Problem]:
    where = _where(profile)
    if profile.reason is not None and profile.reason.text not in REASONS:
        message = f'{where}.reason: "{profile.reason.text}": write required or optional'
        yield problem("bad-value", message, profile.reason.span, REASONS, profile.reason.text)
    if profile.ticket is not None:
        try:
            check_pattern(profile.ticket.text)
        except PatternError as error:
            yield problem("bad-pattern", f"{where}.ticket: {error}", profile.ticket.span)
    if profile.hours is not None:
        try:
            parse_hours(profile.hours.text)
        except HoursError as error:
            yield problem("bad-hours", f"{where}.hours: {error}", profile.hours.span)


def _where(profile: AccessProfile) -> str:
    return f"access.profiles[{profile.name.text}]"


def _rules(
    profile: AccessProfile, sources: Sequence[str], src: Words = ()
) -> Iterator[tuple[Acl | None, Grant | None]]:
    """The network rules of a profile: one ACL, or with `via` one grant for each destination."""
    words = src or tuple(Word(source, profile.span) for source in sources)
    routed = tuple(word for word in profile.dst if profile.via and _is_behind_routers(word))
    direct = tuple(word for word in profile.dst if word not in routed)
    if direct or not profile.dst:
        action = Word("accept", profile.span)
        yield (
            Acl(
                action=action,
                src=words,
                dst=direct,
                proto=profile.proto,
                src_posture=profile.src_posture,
                span=profile.span,
            ),
            None,
        )
    for destination in routed:
        host, ports = split_destination(destination.text)
        prefix = f"{profile.proto.text}:" if profile.proto is not None else ""
        ip = tuple(Word(f"{prefix}{port.strip()}", destination.span) for port in ports.split(","))
        yield (
            None,
            Grant(
                src=words,
                dst=(Word(host, destination.span),),
                ip=ip,
                app=(),
                via=profile.via,
                src_posture=profile.src_posture,
                span=profile.span,
            ),
        )


def _is_behind_routers(destination: Word) -> bool:
    """Whether a destination is reached through routers: `via` says nothing about machines of the tailnet."""
    selector = parse_selector(split_destination(destination.text)[0])
    if selector.kind in _MACHINES and selector.text != "autogroup:internet":
        return False
    inside = selector.prefix is not None and any(selector.prefix.overlaps(own) for own in TAILNET)
    return not inside


def with_windows(policy: Policy, windows: Iterable[OpenWindow]) -> Policy:
    """The policy while these windows are open; the same object when there are none.

    Rules are taken from the profiles as they are now: a profile that was narrowed narrows its windows, one
    that is gone closes them. A policy that allows everything has nothing more to open but SSH.
    """
    profiles = {profile.name.text: profile for profile in policy.access_profiles}
    acls, grants, ssh = [], [], []
    for window in windows:
        profile = profiles.get(window.profile)
        if profile is None or not window.sources:
            continue
        for acl, grant in _rules(profile, window.sources):
            acls += [acl] if acl is not None else []
            grants += [grant] if grant is not None else []
        if profile.ssh_users:
            ssh.append(_ssh_rule(profile, window.sources))
    if not acls and not grants and not ssh:
        return policy
    if policy.acls is None and policy.grants is None:
        return replace(policy, ssh=(*policy.ssh, *ssh)) if ssh else policy
    return replace(
        policy,
        acls=(*(policy.acls or ()), *acls),
        grants=(*(policy.grants or ()), *grants),
        ssh=(*policy.ssh, *ssh),
    )


def _ssh_rule(profile: AccessProfile, sources: Sequence[str]) -> SshEntry:
    hosts = tuple(Word(split_destination(word.text)[0], word.span) for word in profile.dst)
    return SshEntry(
        action=Word("accept", profile.span),
        src=tuple(Word(source, profile.span) for source in sources),
        dst=hosts,
        users=profile.ssh_users,
        check_period=None,
        accept_env=(),
        recorder=(),
        enforce_recorder=False,
        src_posture=profile.src_posture,
        span=profile.span,
    )
