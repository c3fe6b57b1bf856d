"""Who may log in, of all those a provider knows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.identity import Identity
from coordinator.tailnet.errors import UnauthenticatedError


def require_allowed(config: ProviderConfig, identity: Identity, claims: Mapping[str, Any]) -> None:
    """Every list that is configured must let somebody pass.

    `identity.email` is empty unless it may be believed, so an unverified address passes no list of domains or
    users.

    Raises:
        UnauthenticatedError: which list does not, in words for the person.
    """
    email = identity.email.lower()
    if (config.allowed_domains or config.allowed_users) and not email:
        if claims.get("email"):
            raise UnauthenticatedError("the provider has not verified your e-mail address")
        raise UnauthenticatedError("the provider did not say your e-mail address")
    domains = {domain.lower().removeprefix("@") for domain in config.allowed_domains}
    if domains and email.rpartition("@")[2] not in domains:
        raise UnauthenticatedError(f"the domain of `{identity.email}` is not allowed here")
    if config.allowed_users and email not in {user.lower() for user in config.allowed_users}:
        raise UnauthenticatedError(f"`{identity.email}` is not allowed here")
    if config.allowed_groups and not set(config.allowed_groups) & set(identity.claim_groups):
        raise UnauthenticatedError("you are in none of the groups that are allowed here")
