"""From claims to who somebody is. Pure.

Claims come from outside: whatever has the wrong type is treated as absent, except for the subject, without
which there is nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from coordinator.oidc.config import ProviderConfig
from coordinator.tailnet.errors import InvalidError, UnauthenticatedError

MAX_SUBJECT = 255
"""Characters; the protocol allows no more. Source: OpenID Connect Core 1.0, section 2."""
MAX_TEXT = 500
MAX_GROUPS = 1000
_PROFILE_CLAIMS = ("preferred_username", "name", "picture")
"""What userinfo overrides, with the e-mail and the groups. Others of its claims are none of our business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody, according to a provider.

    `identifier` is issuer, `/` and subject: two providers never share one. `email` is empty unless it may be
    believed. `claim_groups` are the values of the claim, `groups` the policy's groups (`group:…`) they stand
    for.
    """

    provider: str
    identifier: str
    username: str = ""
    display_name: str = ""
    email: str = ""
    picture: str = ""
    claim_groups: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def identity_key(issuer: str, subject: str) -> str:
    """The key of an identity: issuer, one `/`, subject.

    Raises:
        InvalidError: the subject is empty, too long, or has white space or control characters.
    """
    if (
        not subject
        or len(subject) > MAX_SUBJECT
        or not subject.isprintable()
        or any(map(str.isspace, subject))
    ):
        raise InvalidError("the subject of an identity is 1 to 255 visible characters without blanks")
    return f"{issuer.rstrip('/')}/{subject}"


def merged_claims(
    id_claims: Mapping[str, Any], userinfo: Mapping[str, Any], groups_claim: str
) -> dict[str, Any]:
    """The claims of the ID token, with what userinfo knows better.

    Userinfo of another subject is refused: it would lend somebody's token another person's name.

    Raises:
        UnauthenticatedError: the subjects differ.
    """
    merged = dict(id_claims)
    if not userinfo:
        return merged
    if userinfo.get("sub") != id_claims.get("sub"):
        raise UnauthenticatedError("the provider's userinfo speaks of another subject than its ID token")
    for name in (*_PROFILE_CLAIMS, groups_claim, groups_claim.partition(".")[0]):
        if name in userinfo:
            merged[name] = userinfo[name]
    if "email" in userinfo:
        # "Verified" is said of the address beside it: the token's word must not vouch for userinfo's address.
        if "email_verified" in userinfo:
            merged["email_verified"] = userinfo["email_verified"]
        elif userinfo["email"] != id_claims.get("email"):
            merged.pop("email_verified", None)
        merged["email"] = userinfo["email"]
    return merged


def make_identity(config: ProviderConfig, claims: Mapping[str, Any]) -> Identity:
    """Who the claims speak of.

    Raises:
        UnauthenticatedError: they name no usable subject.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str):
        raise UnauthenticatedError("the provider's answer names no subject")
    try:
        identifier = identity_key(config.issuer, subject)
    except InvalidError as error:
        raise UnauthenticatedError(error.message) from error
    believed = is_true(claims.get("email_verified")) or not config.email_verified_required
    values = claim_values(claims, config.groups_claim)
    return Identity(
        provider=config.name,
        identifier=identifier,
        username=_text(claims.get("preferred_username")),
        display_name=_text(claims.get("name")),
        email=_email(claims.get("email")) if believed else "",
        picture=_picture(claims.get("picture")),
        claim_groups=values,
        groups=policy_groups(config, values),
    )


def is_true(value: object) -> bool:
    """`email_verified`; some providers send it as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def claim_values(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The texts at a claim path such as `realm_access.roles`; one text counts as a list of one.

    A claim of exactly that name goes first: some providers have dots and slashes in their names.
    """
    found: Any = claims
    if path in claims:
        found = claims[path]
    else:
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return ()
    texts = [text for each in found if isinstance(each, str) and (text := _text(each))]
    return tuple(dict.fromkeys(texts))[:MAX_GROUPS]


def policy_groups(config: ProviderConfig, values: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of the policy that claim values stand for, sorted."""
    if config.groups_map:
        names = [config.groups_map[value] for value in values if value in config.groups_map]
    else:
        names = list(values)
    return tuple(sorted({group_name(config, name) for name in names}))


def group_name(config: ProviderConfig, name: str) -> str:
    """`group:` + prefix + name; a name that begins with `group:` already is not given a second one."""
    return f"group:{config.groups_prefix}{name.removeprefix('group:')}"


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        return ""
    return value.strip()


def _email(value: object) -> str:
    text = _text(value)
    local, at, domain = text.rpartition("@")
    usable = local and at and domain and "@" not in local and not any(map(str.isspace, text))
    return text if usable else ""


def _picture(value: object) -> str:
    """Clients show it in a browser; only what is plainly a web address is passed on."""
    text = _text(value)
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.netloc else ""
