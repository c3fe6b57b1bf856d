"""The conversation with one identity provider: discovery, codes, tokens, userinfo, refresh, sign-out.

`authlib` speaks OAuth 2, `joserfc` checks signatures; what is expected of the answers is said here. Of a
provider's answer only so much reaches a message as fits in a line. Source: OpenID Connect Core 1.0, Discovery
1.0, RP-Initiated Logout 1.0; RFC 7636 (PKCE); RFC 9207 (`iss` in the answer).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.identity import merged_claims
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import (
    CoordinatorError,
    ForbiddenError,
    UnauthenticatedError,
    UnavailableError,
)

DISCOVERY_PATH = "/.well-known/openid-configuration"
DISCOVERY_SECONDS = 30.0
REQUEST_SECONDS = 10.0
CLOCK_SKEW = 60
"""Seconds by which the provider's clock may differ from ours."""
KEYS_PAUSE = timedelta(seconds=30)
"""Keys are fetched again for an unknown key id, and not more often: anybody can invent key ids."""
RETRY_PAUSE = timedelta(seconds=10)
_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""Signatures that only the provider can make: with HS256 the client secret would do."""
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_ENDPOINTS = (*_NEEDED, "userinfo_endpoint", "end_session_endpoint")
_MAX_SAID = 200


class GrantRevokedError(ForbiddenError):
    """The provider does not renew a grant any more: it was revoked, it expired, or the user is gone."""


class ProviderAwayError(UnavailableError):
    """The provider cannot be reached at all; asking it about somebody else is of no use now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a provider gave.

    `claims` is empty when a refresh brought neither an ID token nor userinfo. `expires` is that of the ID
    token.
    """

    claims: Mapping[str, Any]
    id_token: str
    expires: datetime | None
    refresh_token: str


class Provider:
    """One provider.

    Args:
        config: As configured.
        redirect_uri: Where the provider sends browsers back to.
        clock: Judges tokens.
    """

    def __init__(self, config: ProviderConfig, redirect_uri: str, clock: Clock) -> None:
        self.config = config
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._keys_at: datetime | None = None
        self._tried_at: datetime | None = None

    @property
    def known(self) -> bool:
        """Whether its discovery document was read."""
        return bool(self._metadata)

    async def discover(self) -> None:
        """Read the discovery document and the keys.

        Raises:
            UnavailableError: the provider does not answer, or with something else.
        """
        where = self.config.issuer.rstrip("/") + DISCOVERY_PATH
        self._tried_at = self._clock()
        metadata = await self._get_json(where, DISCOVERY_SECONDS)
        if metadata.get("issuer") != self.config.issuer:
            said = str(metadata.get("issuer"))[:_MAX_SAID]
            raise self._unavailable(f"calls itself `{said}`; that text belongs into the configuration")
        absent = [name for name in _NEEDED if not isinstance(metadata.get(name), str)]
        if absent:
            raise self._unavailable(f"does not say {', '.join(absent)} in its discovery document")
        if self.config.issuer.startswith("https://"):
            open_ones = [name for name in _ENDPOINTS if str(metadata.get(name, "https:")).startswith("http:")]
            if open_ones:
                raise self._unavailable(f"names addresses without TLS: {', '.join(open_ones)}")
        if not _algorithms(metadata):
            raise self._unavailable("signs with nothing that only it can sign with (RS, PS, ES or EdDSA)")
        await self._fetch_keys(str(metadata["jwks_uri"]))
        self._metadata = metadata

    async def ready(self) -> bool:
        """Whether people can be sent there; tries again now and then when it did not answer at start."""
        if self.known:
            return True
        if self._tried_at is not None and self._clock() < self._tried_at + RETRY_PAUSE:
            return False
        try:
            await self.discover()
        except UnavailableError:
            return False
        return True

    def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send a browser; `verifier` is the PKCE secret, used if PKCE is."""
        scope = list(self.config.scope)
        if self.config.pkce_method and "offline_access" not in scope:
            scope.append("offline_access")
        parameters = {**self.config.extra_params, "nonce": nonce}
        method = self._pkce_method()
        if method:
            parameters["code_challenge_method"] = method
            parameters["code_challenge"] = (
                create_s256_code_challenge(verifier) if method == "S256" else verifier
            )
        url = prepare_grant_uri(
            self._metadata["authorization_endpoint"],
            client_id=self.config.client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(scope),
            state=state,
            **parameters,
        )
        return str(url)

    def require_issuer(self, said: str | None) -> None:
        """Check the `iss` of an authorization answer, so that one provider cannot pass off another's.

        Raises:
            UnauthenticatedError: it is another's, or missing although the provider says it sends it.
        """
        promised = self._metadata.get("authorization_response_iss_parameter_supported") is True
        if said is None and not promised:
            return
        if said != self.config.issuer:
            raise UnauthenticatedError("the answer comes from another provider than the one that was asked")

    def require_arrival(self, path: str) -> None:
        """Check that an answer came to this provider's own redirect URI.

        A provider that sends people on to another one would else be handed the other's code: the counsel of
        RFC 9700, 4.4.2.2 for providers that do not send `iss`.

        Raises:
            UnauthenticatedError: it came to another's.
        """
        if path != urlsplit(self._redirect_uri).path:
            raise UnauthenticatedError("the answer comes from another provider than the one that was asked")

    async def exchange(self, code: str, *, nonce: str, verifier: str) -> Grant:
        """An authorization code for tokens, verified.

        Raises:
            UnauthenticatedError: the provider or a check refuses.
            UnavailableError: the provider does not answer.
        """
        more = {"code_verifier": verifier} if self._pkce_method() else {}
        try:
            async with self._client() as client:
                tokens = await client.fetch_token(
                    self._metadata["token_endpoint"], grant_type="authorization_code", code=code, **more
                )
        except (AuthlibBaseError, httpx2.HTTPError, ValueError) as error:
            raise self._refusal(error) from error
        if not isinstance(tokens.get("id_token"), str):
            raise UnauthenticatedError("the provider gave no ID token")
        return await self._grant(tokens, nonce)

    async def refresh(self, refresh_token: str, keep: Callable[[str], Awaitable[None]]) -> Grant:
        """New tokens and claims for a grant.

        Args:
            refresh_token: The newest one.
            keep: Given the next refresh token as soon as it is there, before anything else can fail: many
                providers take the use of a former one for theft and end the grant.

        Raises:
            GrantRevokedError: the provider answered `invalid_grant`.
            UnauthenticatedError: another refusal; says nothing about the user.
            UnavailableError: the provider does not answer.
        """
        if not await self.ready():
            raise self._unavailable("does not answer", ProviderAwayError)
        try:
            async with self._client() as client:
                # What was granted is granted again; naming scopes may only narrow it.
                client.scope = None
                tokens = await client.refresh_token(self._metadata["token_endpoint"], refresh_token)
        except (AuthlibBaseError, httpx2.HTTPError, ValueError) as error:
            if isinstance(error, AuthlibBaseError) and error.error == "invalid_grant":
                raise GrantRevokedError("the provider does not renew the login any more") from error
            raise self._refusal(error) from error
        fresh = tokens.get("refresh_token")
        if isinstance(fresh, str) and fresh and fresh != refresh_token:
            await keep(fresh)
        return await self._grant(tokens, None)

    async def verify(self, id_token: str) -> dict[str, Any]:
        """The claims of an ID token somebody shows who got it from this provider for us.

        Raises:
            UnauthenticatedError: it does not hold.
            UnavailableError: the provider does not answer.
        """
        if not await self.ready():
            raise self._unavailable("does not answer")
        return await self._verified(id_token, None, None)

    def end_session_url(self, id_token: str, back: str) -> str | None:
        """Where to send a browser to sign out at the provider; None if it knows no such place."""
        endpoint = self._metadata.get("end_session_endpoint")
        if not isinstance(endpoint, str):
            return None
        query = {
            "id_token_hint": id_token,
            "client_id": self.config.client_id,
            "post_logout_redirect_uri": back,
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    # inner

    async def _grant(self, tokens: Mapping[str, Any], nonce: str | None) -> Grant:
        access, id_token = tokens.get("access_token"), tokens.get("id_token")
        claims: dict[str, Any] = {}
        expires = None
        if isinstance(id_token, str):
            claims = await self._verified(id_token, nonce, access)
            expires = datetime.fromtimestamp(claims["exp"], UTC)
        userinfo = await self._userinfo(str(access)) if access else {}
        claims = merged_claims(claims, userinfo, self.config.groups_claim) if claims else userinfo
        refresh = tokens.get("refresh_token")
        return Grant(
            claims=claims,
            id_token=id_token if isinstance(id_token, str) else "",
            expires=expires,
            refresh_token=refresh if isinstance(refresh, str) else "",
        )

    async def _verified(self, id_token: str, nonce: str | None, access_token: object) -> dict[str, Any]:
        """The claims of an ID token that this provider made for us, now, for this login."""
        try:
            token = await self._decode(id_token)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self.config.issuer},
                    "aud": {"essential": True, "value": self.config.client_id},
                },
                {"nonce": nonce, "client_id": self.config.client_id, "access_token": access_token},
            )
            claims.validate(now=int(self._clock().timestamp()), leeway=CLOCK_SKEW)
            datetime.fromtimestamp(claims["exp"], UTC)
        except (JoseError, AuthlibBaseError, ValueError, TypeError, OverflowError, OSError) as error:
            said = str(error)[:_MAX_SAID]
            raise UnauthenticatedError(f"the provider's ID token does not hold: {said}") from error
        return dict(claims)

    async def _decode(self, token: str) -> jwt.Token:
        """Check a signature; with newly fetched keys if those at hand do not fit."""
        algorithms = _algorithms(self._metadata)
        for attempt in range(2):
            if self._keys is None:
                await self._fetch_keys(str(self._metadata["jwks_uri"]))
            assert self._keys is not None
            try:
                return jwt.decode(token, self._keys, algorithms=algorithms)
            except (JoseError, ValueError):
                fetched = self._keys_at
                if attempt or (fetched is not None and self._clock() < fetched + KEYS_PAUSE):
                    raise
                self._keys = None
        raise AssertionError("the second attempt returns or raises")

    async def _fetch_keys(self, where: str) -> None:
        document = await self._get_json(where, REQUEST_SECONDS)
        listed = document.get("keys")
        keys = [
            key
            for key in (listed if isinstance(listed, list) else [])
            if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use") != "enc"
        ]
        try:
            self._keys = KeySet.import_key_set({"keys": keys})
        except (JoseError, ValueError, TypeError) as error:
            raise self._unavailable(f"has keys that cannot be used: {str(error)[:_MAX_SAID]}") from error
        self._keys_at = self._clock()

    async def _userinfo(self, access_token: str) -> dict[str, Any]:
        endpoint = self._metadata.get("userinfo_endpoint")
        if not isinstance(endpoint, str):
            return {}
        try:
            async with httpx2.AsyncClient(timeout=REQUEST_SECONDS) as client:
                answer = await client.get(endpoint, headers={"Authorization": f"Bearer {access_token}"})
                answer.raise_for_status()
            if answer.headers.get("content-type", "").startswith("application/jwt"):
                return dict((await self._decode(answer.text)).claims)
            return _object(answer.json())
        except (AuthlibBaseError, JoseError, httpx2.HTTPError, ValueError) as error:
            raise self._refusal(error, UnavailableError) from error

    async def _get_json(self, url: str, seconds: float) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(timeout=seconds) as client:
                answer = await client.get(url)
                answer.raise_for_status()
                return _object(answer.json())
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise self._unavailable(f"does not answer at {url}: {str(error)[:_MAX_SAID]}") from error

    def _client(self) -> AsyncOAuth2Client:
        """One for each use: the library keeps the last token in it."""
        offered = self._metadata.get("token_endpoint_auth_methods_supported")
        return AsyncOAuth2Client(
            client_id=self.config.client_id,
            client_secret=self.config.client_secret or None,
            token_endpoint_auth_method=_auth_method(
                bool(self.config.client_secret), offered if isinstance(offered, list) else ()
            ),
            redirect_uri=self._redirect_uri,
            timeout=REQUEST_SECONDS,
        )

    def _pkce_method(self) -> str:
        if self.config.pkce_method:
            return self.config.pkce_method
        known = self._metadata.get("code_challenge_methods_supported")
        return "S256" if isinstance(known, list) and "S256" in known else ""

    def _refusal(
        self, error: Exception, refused: type[CoordinatorError] = UnauthenticatedError
    ) -> CoordinatorError:
        if isinstance(error, AuthlibBaseError):
            said = str(error)[:_MAX_SAID]
            return refused(f"the provider refused: {said}")
        kind = ProviderAwayError if isinstance(error, httpx2.TransportError) else UnavailableError
        return self._unavailable(f"does not answer as expected: {str(error)[:_MAX_SAID]}", kind)

    def _unavailable(self, what: str, kind: type[UnavailableError] = UnavailableError) -> UnavailableError:
        return kind(f"identity provider {self.config.name} ({self.config.issuer}) {what}")


def _auth_method(has_secret: bool, offered: Collection[Any]) -> str:
    if not has_secret:
        return "none"
    if offered and "client_secret_basic" not in offered and "client_secret_post" in offered:
        return "client_secret_post"
    return "client_secret_basic"


def _algorithms(metadata: Mapping[str, Any]) -> list[str]:
    """The signatures a provider may use; all that are safe, where it does not say."""
    offered = metadata.get("id_token_signing_alg_values_supported")
    return [each for each in _ALGORITHMS if not isinstance(offered, list) or each in offered]


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document
