"""`oidc.*`: identity providers, one or several.

The single provider of headscale's keys and the items of `oidc.providers` are the same thing: an item takes
what it does not say itself from the keys above it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coordinator.settings.convert import convert
from coordinator.settings.keys import KEYS
from coordinator.settings.secret import Secret

PREFIX = "oidc."
SHORTEST_REFRESH = timedelta(seconds=1)
DEFAULT_NAME = "oidc"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_OWN = ("issuer", "client_id", "client_secret", "client_secret_path")
"""What belongs to one provider and is never taken from the keys above."""
_SHARED = (
    "scope",
    "extra_params",
    "allowed_domains",
    "allowed_users",
    "allowed_groups",
    "email_verified_required",
    "use_expiry_from_token",
    "pkce.enabled",
    "pkce.method",
    "groups.claim",
    "groups.prefix",
    "groups.map",
)
Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OIDCProvider:
    """One provider. `pkce_method` is empty where PKCE is left to what the provider says it supports."""

    name: str
    title: str
    issuer: str
    client_id: str
    client_secret: Secret
    client_secret_path: str
    scope: tuple[str, ...]
    extra_params: Mapping[str, str]
    allowed_domains: tuple[str, ...]
    allowed_users: tuple[str, ...]
    allowed_groups: tuple[str, ...]
    email_verified_required: bool
    use_expiry_from_token: bool
    pkce_method: str
    groups_claim: str
    groups_prefix: str
    groups_map: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OIDC:
    """All of `oidc.*`; without providers nobody logs in by a browser."""

    providers: tuple[OIDCProvider, ...]
    needed_at_start: bool
    refresh_interval: timedelta


def build_oidc(values: Mapping[str, Any]) -> OIDC:
    """The providers from converted values that passed `check_oidc`."""
    return OIDC(
        providers=tuple(_provider(each) for each in _sections(values, Path())),
        needed_at_start=values["oidc.only_start_if_oidc_is_available"],
        refresh_interval=values["oidc.refresh_interval"],
    )


def check_oidc(values: Mapping[str, Any], problem: Say, notice: Say) -> None:
    """Everything several `oidc.*` keys together, or an item of `oidc.providers`, can get wrong."""
    if values["oidc.issuer"] and values["oidc.providers"]:
        problem("oidc.providers", "give oidc.issuer or oidc.providers, not both")
        return
    if 0 < values["oidc.refresh_interval"].total_seconds() < SHORTEST_REFRESH.total_seconds():
        problem("oidc.refresh_interval", "must be 1s or more, or 0 for never")
    try:
        sections = _sections(values, Path())
    except ValueError as error:
        problem("oidc.providers", str(error))
        return
    seen: dict[str, str] = {}
    for section in sections:
        name = section["name"]
        path = "oidc.issuer" if not values["oidc.providers"] else "oidc.providers"
        for text in _wrong(section):
            problem(path, text if path == "oidc.issuer" else f"provider `{name}`: {text}")
        if name in seen:
            problem(path, f"two providers are called `{name}`")
        for other, issuer in seen.items():
            if _nested(issuer, section["issuer"]):
                problem(path, f"the issuers of `{other}` and `{name}` must not lie within each other")
        seen[name] = section["issuer"]
        if section["issuer"].startswith("http://"):
            notice(path, f"`{section['issuer']}` is plain http: whoever is on the way can log in as anybody")


def _wrong(section: Mapping[str, Any]) -> list[str]:
    """What is wrong with one provider, as sentences."""
    found = []
    parts = urlsplit(section["issuer"])
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        found.append(f"`{section['issuer']}` must be a https:// URL without query")
    if not section["client_id"]:
        found.append("client_id is needed")
    if section["client_secret"] and section["client_secret_path"]:
        found.append("give client_secret or client_secret_path, not both")
    if section["pkce.method"] not in ("S256", "plain"):
        found.append(f"pkce.method: `{section['pkce.method']}` is neither S256 nor plain")
    if "openid" not in section["scope"]:
        found.append("scope must hold `openid`")
    if not section["groups.claim"]:
        found.append("groups.claim must name a claim, such as groups or realm_access.roles")
    for claim, group in section["groups.map"].items():
        if not isinstance(group, str) or not group.removeprefix("group:"):
            found.append(f"groups.map: `{claim}` must be mapped to the name of a group")
    for name, value in section["extra_params"].items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            found.append(f"extra_params: `{name}` must be text")
    return found


def _nested(one: str, other: str) -> bool:
    """`https://a/b` with subject `c/d` would be the same identity as `https://a/b/c` with subject `d`."""
    first, second = one.rstrip("/") + "/", other.rstrip("/") + "/"
    return first.startswith(second) or second.startswith(first)


def _sections(values: Mapping[str, Any], base: Path) -> list[dict[str, Any]]:
    """Each provider as converted values by key, without the `oidc.`.

    Raises:
        ValueError: an item is no provider; which, and why.
    """
    shared = {name: values[PREFIX + name] for name in _SHARED}
    if values["oidc.issuer"]:
        own = {name: values[PREFIX + name] for name in _OWN}
        return [{"name": DEFAULT_NAME, "title": "", **shared, **own}]
    return [_item(number, item, shared, base) for number, item in enumerate(values["oidc.providers"], 1)]


def _item(number: int, item: Mapping[str, Any], shared: Mapping[str, Any], base: Path) -> dict[str, Any]:
    given = dict(_flat(item))
    name = str(given.pop("name", ""))
    if not _NAME.fullmatch(name):
        raise ValueError(f"provider {number} needs a name of letters a-z, digits and `-`")
    section: dict[str, Any] = {"name": name, "title": str(given.pop("title", "")), **shared}
    section |= {key: convert(KEYS[PREFIX + key], "", base) for key in _OWN}
    for key, value in given.items():
        if key not in _OWN and key not in _SHARED:
            raise ValueError(f"provider `{name}`: unknown key `{key}`")
        try:
            section[key] = convert(KEYS[PREFIX + key], value, base)
        except ValueError as error:
            raise ValueError(f"provider `{name}`: `{key}`: {error}") from None
    return section


def _flat(item: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """`{"pkce": {"enabled": true}}` as `pkce.enabled`; values that are mappings themselves stay whole."""
    flat: list[tuple[str, Any]] = []
    for name, value in item.items():
        path = prefix + str(name).lower()
        if isinstance(value, Mapping) and path in ("pkce", "groups"):
            flat += _flat(value, path + ".")
        else:
            flat.append((path, value))
    return flat


def _provider(section: Mapping[str, Any]) -> OIDCProvider:
    return OIDCProvider(
        name=section["name"],
        title=section["title"] or section["name"],
        issuer=section["issuer"],
        client_id=section["client_id"],
        client_secret=section["client_secret"],
        client_secret_path=section["client_secret_path"],
        scope=section["scope"],
        extra_params={name: str(value) for name, value in section["extra_params"].items()},
        allowed_domains=section["allowed_domains"],
        allowed_users=section["allowed_users"],
        allowed_groups=section["allowed_groups"],
        email_verified_required=section["email_verified_required"],
        use_expiry_from_token=section["use_expiry_from_token"],
        pkce_method=section["pkce.method"] if section["pkce.enabled"] else "",
        groups_claim=section["groups.claim"],
        groups_prefix=section["groups.prefix"],
        groups_map=section["groups.map"],
    )
