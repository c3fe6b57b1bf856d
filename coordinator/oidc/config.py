"""One identity provider as configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """A provider.

    Attributes:
        name: short and unique; the stored grants name it.
        title: what people choose it by.
        issuer: exactly as its discovery document says.
        client_secret: empty for a public client.
        pkce_method: `S256` or `plain`; empty leaves it to the provider: S256 if it says it knows it.
        groups_claim: path of the claim with groups, its parts separated by dots.
        groups_map: claim value to group; empty: every value is a group of its name.
    """

    name: str
    title: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: tuple[str, ...] = ("openid", "profile", "email")
    extra_params: Mapping[str, str] = field(default_factory=dict)
    allowed_domains: tuple[str, ...] = ()
    allowed_users: tuple[str, ...] = ()
    allowed_groups: tuple[str, ...] = ()
    email_verified_required: bool = True
    use_expiry_from_token: bool = False
    pkce_method: str = ""
    groups_claim: str = "groups"
    groups_prefix: str = ""
    groups_map: Mapping[str, str] = field(default_factory=dict)
