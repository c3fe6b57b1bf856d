"""`access.webhooks`: where steps of requests for access are told, and who may answer there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.settings.convert import convert
from coordinator.settings.keys import Key
from coordinator.settings.secret import Secret

PATH = "access.webhooks"
KINDS = ("slack", "mattermost", "generic")
EVENTS = ("requested", "opened", "denied", "ended", "break-glass")
SHORTEST_SECRET = 16
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ITEM = {
    key.path: key
    for key in (
        Key("kind", "choice", "generic", "", choices=KINDS),
        Key("name", "text", "", ""),
        Key("url", "webhook", "", ""),
        Key("secret", "secret", "", ""),
        Key("users", "map", {}, ""),
        Key("events", "strings", EVENTS, ""),
        Key("links", "bool", False, ""),
    )
}
Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessWebhook:
    """One item. `users` maps accounts there to users here."""

    name: str
    kind: str
    url: str
    secret: Secret
    users: Mapping[str, str]
    events: tuple[str, ...]
    links: bool


def build_webhooks(items: tuple[Mapping[str, Any], ...]) -> tuple[AccessWebhook, ...]:
    """The webhooks, of items that passed `check_webhooks`."""
    return tuple(AccessWebhook(**_converted(item)) for item in items)


def check_webhooks(items: tuple[Mapping[str, Any], ...], problem: Say, notice: Say) -> None:
    """Everything an item, or two of them, can get wrong."""
    seen: set[str] = set()
    for number, item in enumerate(items, 1):
        try:
            fields = _converted(item)
        except ValueError as error:
            problem(PATH, f"webhook {number}: {error}")
            continue
        name = fields["name"]
        for text in _wrong(fields):
            problem(PATH, f"webhook `{name}`: {text}")
        if name in seen:
            problem(PATH, f"two webhooks are called `{name}`: give each a `name`")
        seen.add(name)
        if fields["kind"] == "slack" and not fields["secret"]:
            notice(PATH, f"webhook `{name}` has no `secret`, so its messages have no buttons")


def _converted(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item's values; ValueError names the field."""
    given = {str(name).lower(): value for name, value in item.items()}
    unknown = sorted(set(given) - set(_ITEM))
    if unknown:
        raise ValueError(f"unknown key `{unknown[0]}`; known are {', '.join(_ITEM)}")
    fields: dict[str, Any] = {}
    for name, key in _ITEM.items():
        try:
            fields[name] = convert(key, given.get(name), Path())
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from None
    fields["name"] = fields["name"] or fields["kind"]
    return fields


def _wrong(fields: Mapping[str, Any]) -> list[str]:
    found = []
    if not _NAME.fullmatch(fields["name"]):
        found.append("its name must be of a-z, 0-9 and `-`")
    if not fields["url"]:
        found.append("`url` is needed")
    secret = fields["secret"].reveal()
    if fields["kind"] == "generic" and not secret:
        found.append("`secret` is needed, to sign messages and to know answers by")
    if fields["kind"] == "mattermost" and secret:
        found.append(
            "Mattermost signs nothing, so there is no `secret`; answers bring a token of this server"
        )
    if secret and len(secret) < SHORTEST_SECRET:
        found.append(f"`secret` is shorter than {SHORTEST_SECRET} characters")
    if fields["links"] and fields["kind"] != "generic":
        found.append("`links` are for generic webhooks: everybody in a channel could use the links of others")
    for event in fields["events"]:
        if event not in EVENTS:
            found.append(f"`events`: `{event}` is not one of {', '.join(EVENTS)}")
    for account, user in fields["users"].items():
        if not isinstance(user, str) or not user:
            found.append(f"`users`: `{account}` must be mapped to a name or an e-mail")
    return found
