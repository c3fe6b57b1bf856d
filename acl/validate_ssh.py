"""Checks of `ssh` and of what `sshTests` may name.

Here: one SSH entry's action, users, period, environment and selectors; the destinations of SSH tests. Not
here: running the tests (`policy_tests`). Called by `validate`. Texts are the official service's unless
marked.
"""

from __future__ import annotations

from collections.abc import Iterator

from acl.document import SshEntry, SshTest, Word
from acl.durations import DurationError, format_duration, parse_duration
from acl.placement import Names, Place, check_selector, problem
from acl.problems import Problem
from acl.selectors import SelectorKind, parse_selector
from acl.validate_rules import check_postures

__all__ = ["DEFAULT_CHECK_PERIOD", "LOCALPART", "check_ssh_entry", "check_ssh_test", "period_seconds"]

LOCALPART = "localpart:*@"
MAX_CHECK_PERIOD = 168 * 3600 * 10**9
DEFAULT_CHECK_PERIOD = 12 * 3600


def period_seconds(word: Word | None) -> int:
    """How long one check lasts, in whole seconds; 0 means to ask every time."""
    if word is None or not word.text.strip():
        return DEFAULT_CHECK_PERIOD
    return 0 if word.text.strip() == "always" else parse_duration(word.text.strip()) // 10**9


def _check_action(entry: SshEntry) -> Problem | None:
    action = "" if entry.action is None else entry.action.text.strip()
    span = entry.span if entry.action is None else entry.action.span
    if not action:
        return problem("missing-action", "action must be specified", span)
    if action not in ("accept", "check"):
        return problem("bad-action", f'"{action}" is not a valid action', span, ("accept", "check"), action)
    return None


def _check_period(word: Word) -> Problem | None:
    text = word.text.strip()
    if not text or text == "always":
        return None
    try:
        period = parse_duration(text)
    except DurationError as error:
        return problem("bad-duration", str(error), word.span)
    if period < 0:
        message = f"checkPeriod {format_duration(period)} must be a positive duration"
        return problem("bad-duration", message, word.span)
    if period > MAX_CHECK_PERIOD:
        message = f"checkPeriod {format_duration(period)} is above the max (168h)"
        return problem("bad-duration", message, word.span)
    return None


def _check_sources_against(entry: SshEntry) -> Iterator[Problem]:
    """Who may reach whose devices: a user's own devices are open to that user only."""
    sources = [parse_selector(word.text) for word in entry.src]
    for word in entry.dst:
        selector = parse_selector(word.text)
        if selector.kind is SelectorKind.USER:
            if any(source.text != selector.text for source in sources):
                message = f'dst "{selector.text}": users in dst are only allowed from the same user'
                yield problem("ssh-user-dst", message, word.span)
        elif selector.text == "autogroup:self":
            for source in sources:
                if source.kind is SelectorKind.TAG or source.text == "autogroup:tagged":
                    message = "autogroup:self can only be used with users, groups, or supported autogroups"
                    yield problem("self-source", message, word.span)
                    break


def check_ssh_entry(entry: SshEntry, names: Names) -> Iterator[Problem]:
    """The problems of one `ssh` entry."""
    found = _check_action(entry)
    if found is not None:
        yield found
    if not entry.users:
        yield problem("missing-users", "users must be specified", entry.span)
    for word in entry.users or ():
        if word.text.strip() in ("", "*"):
            yield problem("bad-user", f'user "{word.text.strip()}" is not valid', word.span)
    for word in entry.accept_env:
        if not word.text:
            yield problem("bad-env", "acceptEnv values cannot be empty", word.span)
    for word in entry.src:
        found = check_selector(word, Place.SSH_SRC, names)
        if found is not None:
            yield found
    for word in entry.dst:
        found = check_selector(word, Place.SSH_DST, names)
        if found is not None:
            yield found
    yield from _check_sources_against(entry)
    if entry.check_period is not None:
        found = _check_period(entry.check_period)
        if found is not None:
            yield found
    for word in entry.recorder:
        text = word.text.strip()
        if text not in names.tags:
            message = f'recorder: tag not found: "{text}"'
            yield problem("unknown-tag", message, word.span, names.tags, text)
    yield from check_postures(entry.src_posture, names)


def check_ssh_test(test: SshTest, names: Names) -> Iterator[Problem]:
    """Destinations of an SSH test that can never be right, whatever nodes there are."""
    for word in test.dst:
        selector = parse_selector(word.text)
        ranged = selector.kind is SelectorKind.PREFIX and "/" in selector.text
        if selector.text == "autogroup:internet" or ranged:
            message = f'SSH tests dst contains disallowed element "{selector.text}"'
            yield problem("ssh-test-dst", message, word.span)
        elif selector.kind is SelectorKind.TAG and selector.text not in names.tags:
            message = f'SSH tests dst contains unknown tag "{selector.text}"'
            yield problem("unknown-tag", message, word.span, names.tags, selector.text)
