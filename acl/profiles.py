"""Access profiles: what may be opened for a while, for whom, and who approves (the `access` section).

Here: what a profile says, its checks, and the rules it comes to. Not here: requests and their life (the
server keeps them), and how an open window gets into filters (`overlay`). Read by `reading`, called by
`validate` and by `windows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from acl.addresses import TAILNET, parse_prefix
from acl.document import AccessProfile, Acl, Grant, Policy, SshEntry, Word, Words
from acl.durations import DurationError, parse_duration
from acl.hours import Hours, HoursError, parse_hours
from acl.placement import Names, Place, check_selector, problem
from acl.problems import Problem
from acl.selectors import SelectorKind, parse_selector, split_destination
from acl.tickets import PatternError, check_pattern
from acl.validate_rules import check_acl, check_grant, check_via

__all__ = [
    "UNKNOWN_PROFILE",
    "approvals_needed",
    "check_access_tests",
    "check_profile",
    "default_seconds",
    "duration_seconds",
    "host_scoped",
    "max_seconds",
    "open_hours",
    "profile_login",
    "profile_rules",
    "unanswered_seconds",
]

UNKNOWN_PROFILE = "unknown-profile"
"""Code of the problem of a test that names a profile there is none of."""
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
    acls, grants = profile_rules(profile, profile.src, names.hosts)
    for acl in acls:
        yield from check_acl(acl, names)
    for grant in grants:
        yield from check_grant(grant, names)
    if not grants:
        yield from check_via(profile.via, names)
    for word in profile.dst:
        selector = parse_selector(split_destination(word.text)[0])
        if selector.text == "autogroup:self" or selector.kind is SelectorKind.SERVICE:
            message = (
                f"{_where(profile)}.dst: a window cannot open {selector.text}; name machines or networks"
            )
            yield problem("bad-selector", message, word.span)
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


def check_access_tests(policy: Policy) -> Iterator[Problem]:
    """The tests of access that name no profile of the policy."""
    known = [profile.name.text for profile in policy.access_profiles]
    for number, entry in enumerate(policy.access_tests):
        where = f"access.tests[{number}]"
        if entry.profile is None:
            yield problem("missing-profile", f"{where}: say which profile is open", entry.test.span)
        elif entry.profile.text.strip() not in known:
            name = entry.profile.text.strip()
            message = f"{where}: access profile `{name}` not found"
            yield problem(UNKNOWN_PROFILE, message, entry.profile.span, known, name)


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


def profile_rules(
    profile: AccessProfile, src: Words, hosts: Mapping[str, str]
) -> tuple[tuple[Acl, ...], tuple[Grant, ...]]:
    """The network rules of a profile, for some sources: one ACL, and with `via` a grant for each destination.

    Routers in `via` carry networks only: machines of the tailnet are reached directly, as without `via`.

    Args:
        hosts: host aliases of the policy, and their addresses.
    """
    routed = tuple(word for word in profile.dst if profile.via and _is_behind_routers(word, hosts))
    direct = tuple(word for word in profile.dst if word not in routed)
    acls = (
        Acl(
            action=Word("accept", profile.span),
            src=src,
            dst=direct,
            proto=profile.proto,
            src_posture=profile.src_posture,
            span=profile.span,
        ),
    )
    grants = []
    for destination in routed:
        host, ports = split_destination(destination.text)
        prefix = f"{profile.proto.text}:" if profile.proto is not None else ""
        ip = tuple(Word(f"{prefix}{port.strip()}", destination.span) for port in ports.split(","))
        grants.append(
            Grant(
                src=src,
                dst=(Word(host, destination.span),),
                ip=ip,
                app=(),
                via=profile.via,
                src_posture=profile.src_posture,
                span=profile.span,
            )
        )
    return acls if direct or not profile.dst else (), tuple(grants)


def _is_behind_routers(destination: Word, hosts: Mapping[str, str]) -> bool:
    """Whether a destination is reached through routers: `via` says nothing about machines of the tailnet."""
    selector = parse_selector(split_destination(destination.text)[0])
    if selector.kind in _MACHINES and selector.text != "autogroup:internet":
        return False
    prefix = selector.prefix
    if selector.kind is SelectorKind.HOST:
        prefix = parse_prefix(hosts.get(selector.text, ""))
    return prefix is None or not any(own.covers(prefix) for own in TAILNET)


def profile_login(profile: AccessProfile, src: Words) -> SshEntry | None:
    """The SSH entry of a profile, for some sources; None when it opens no logins."""
    if not profile.ssh_users:
        return None
    return SshEntry(
        action=Word("accept", profile.span),
        src=src,
        dst=tuple(Word(split_destination(word.text)[0], word.span) for word in profile.dst),
        users=profile.ssh_users,
        check_period=None,
        accept_env=(),
        recorder=(),
        enforce_recorder=False,
        src_posture=profile.src_posture,
        span=profile.span,
    )
