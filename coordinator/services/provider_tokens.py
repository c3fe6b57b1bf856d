"""ID tokens of identity providers, shown by programs: whose they are. Browsers log in by `web.oidc_pages`."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping

from coordinator.oidc.filters import require_allowed
from coordinator.oidc.identity import make_identity
from coordinator.oidc.provider import Provider
from coordinator.services.identities import IdentityService
from coordinator.tailnet.errors import UnauthenticatedError
from coordinator.tailnet.users import User, require_active


class ProviderTokens:
    """Verifies ID tokens of the configured providers."""

    def __init__(self, providers: Mapping[str, Provider], identities: IdentityService) -> None:
        self._by_issuer = {provider.config.issuer: provider for provider in providers.values()}
        self._identities = identities

    async def user(self, text: str) -> User:
        """The user a token speaks of; made, as by a login, if it is nobody's yet.

        Raises:
            UnauthenticatedError: it does not hold, or the filters let its person not pass.
            ForbiddenError: the user is suspended.
            UnavailableError: the provider does not answer.
        """
        provider = self._by_issuer.get(_issuer(text))
        if provider is None:
            raise UnauthenticatedError("the ID token is of none of the configured providers")
        claims = await provider.verify(text)
        identity = make_identity(provider.config, claims)
        require_allowed(provider.config, identity, claims)
        known = await self._identities.known(identity.identifier)
        if known is not None:
            return require_active(known)
        return await self._identities.log_in(identity, "")


def _issuer(text: str) -> str:
    """Who says to have made a token; nothing is proven yet."""
    try:
        payload = text.split(".")[1]
        document = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error, RecursionError):
        return ""
    issuer = document.get("iss") if isinstance(document, dict) else None
    return issuer if isinstance(issuer, str) else ""
