"""The conversation with a provider: with an honest one, and with one that lies."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import oidc_provider_mock
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.provider import GrantRevokedError, Provider
from coordinator.tailnet.errors import UnauthenticatedError, UnavailableError
from tests.support.lying_provider import CLIENT_ID, LyingProvider, lying_provider
from tests.support.ports import free_port

BACK = "http://server.example/oidc/callback"


class Clock:
    """The real time, moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def config(issuer: str, **changes: Any) -> ProviderConfig:
    values: dict[str, Any] = {"name": "p", "title": "P", "issuer": issuer, "client_id": CLIENT_ID}
    return ProviderConfig(**values | {"client_secret": "s"} | changes)


@pytest.fixture
async def liar() -> AsyncIterator[LyingProvider]:
    async with lying_provider() as provider:
        yield provider


async def meet(liar: LyingProvider, **changes: Any) -> tuple[Provider, Clock]:
    clock = Clock()
    provider = Provider(config(liar.issuer, **changes), BACK, clock)
    await provider.discover()
    return provider, clock


async def forget(token: str) -> None:
    """Where the next refresh token does not matter."""


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# ---- an honest one ----------------------------------------------------------------------------------------


async def test_code_refresh_and_revocation_with_a_mock() -> None:
    with oidc_provider_mock.run_server_in_thread() as server:
        issuer = f"http://localhost:{server.server_port}"
        provider = Provider(
            config(issuer, scope=("openid", "email", "profile", "offline_access")), BACK, Clock()
        )
        await provider.discover()
        async with aiohttp.ClientSession() as session:
            claims = {"email": "ada@example.com", "email_verified": True, "name": "Ada"}
            await session.put(f"{issuer}/users/ada", json=claims)
            url = provider.authorization_url(state="s", nonce="n", verifier="v" * 64)
            async with session.post(url, data={"sub": "ada"}, allow_redirects=False) as answer:
                arrived = query(answer.headers["Location"])
            assert arrived["state"] == "s"
            grant = await provider.exchange(arrived["code"], nonce="n", verifier="v" * 64)
            assert (grant.claims["sub"], grant.claims["email"]) == ("ada", "ada@example.com")
            assert grant.expires is not None
            renewed = await provider.refresh(grant.refresh_token, forget)
            assert renewed.claims["sub"] == "ada"
            await session.post(f"{issuer}/users/ada/revoke-tokens")
        with pytest.raises(GrantRevokedError):
            await provider.refresh(renewed.refresh_token, forget)


async def test_the_authorization_url(liar: LyingProvider) -> None:
    provider, _ = await meet(liar, extra_params={"prompt": "consent"})
    asked = query(provider.authorization_url(state="s", nonce="n", verifier="v"))
    assert asked == {
        "tenant": "1",
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": BACK,
        "scope": "openid profile email",
        "state": "s",
        "nonce": "n",
        "prompt": "consent",
    }


@pytest.mark.parametrize(
    ("configured", "offered", "method"),
    [
        ("", None, None),
        ("", ["plain"], None),
        ("", ["S256"], "S256"),
        ("S256", None, "S256"),
        ("plain", None, "plain"),
    ],
)
async def test_pkce(
    liar: LyingProvider, configured: str, offered: list[str] | None, method: str | None
) -> None:
    liar.metadata["code_challenge_methods_supported"] = offered
    liar.tokens["id_token"] = liar.sign()
    provider, _ = await meet(liar, pkce_method=configured)
    asked = query(
        provider.authorization_url(
            state="s", nonce="n", verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        )
    )
    assert asked.get("code_challenge_method") == method
    assert ("offline_access" in asked["scope"]) == bool(configured)
    # The example of RFC 7636, appendix B.
    if method == "S256":
        assert asked["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    await provider.exchange("c", nonce="n", verifier="verifier")
    assert ("code_verifier" in liar.requests[0]) == bool(method)


@pytest.mark.parametrize(
    ("secret", "offered", "where"),
    [
        ("s", None, "header"),
        ("s", ["client_secret_post"], "form"),
        ("s", ["client_secret_basic", "client_secret_post"], "header"),
        ("", None, "none"),
    ],
)
async def test_how_the_server_says_who_it_is(
    liar: LyingProvider, secret: str, offered: list[str] | None, where: str
) -> None:
    if offered:
        liar.metadata["token_endpoint_auth_methods_supported"] = offered
    liar.tokens["id_token"] = liar.sign()
    provider, _ = await meet(liar, client_secret=secret)
    await provider.exchange("c", nonce="n", verifier="v")
    [request] = liar.requests
    assert bool(request["authorization"]) == (where == "header")
    assert ("client_secret" in request) == (where == "form")


async def test_signing_out(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)
    url = provider.end_session_url("token", "http://back")
    assert url is not None and url.startswith(f"{liar.issuer}/end?")
    assert query(url)["post_logout_redirect_uri"] == "http://back"
    del liar.metadata["end_session_endpoint"]
    provider, _ = await meet(liar)
    assert provider.end_session_url("token", "http://back") is None


# ---- one that lies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "another client"},
        {"aud": ["another client"]},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"aud": [CLIENT_ID, "another client"], "azp": None, "exp": 1},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 1 << 70},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"iat": 1 << 40},
        {"at_hash": "another"},
    ],
)
async def test_an_id_token_that_does_not_hold(liar: LyingProvider, changes: dict[str, Any]) -> None:
    provider, _ = await meet(liar)
    liar.tokens["id_token"] = liar.sign(**changes)
    with pytest.raises(UnauthenticatedError):
        await provider.exchange("c", nonce="n", verifier="v")


async def test_signatures_that_anybody_could_make(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)

    def part(document: dict[str, Any] | bytes) -> str:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        return urlsafe_b64encode(raw).decode().rstrip("=")

    unsigned = f"{part({'alg': 'none'})}.{part(liar.claims())}."
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(liar.claims())}"
    # Everybody has the provider's public key; who takes it for a secret is deceived.
    by_public_key = hmac.digest(liar.key.as_pem(private=False), signed.encode(), "sha256")
    shared = OctKey.import_key("s" * 32)
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    forged = [
        unsigned,
        jwt.encode({"alg": "HS256"}, liar.claims(), shared),
        f"{signed}.{part(by_public_key)}",
        jwt.encode({"alg": "RS256", "kid": "one"}, liar.claims(), stranger),
        "not a token",
        "..",
    ]
    for token in forged:
        liar.tokens["id_token"] = token
        with pytest.raises(UnauthenticatedError):
            await provider.exchange("c", nonce="n", verifier="v")


async def test_new_keys_are_fetched_but_not_at_will(liar: LyingProvider) -> None:
    provider, clock = await meet(liar)
    liar.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    liar.tokens["id_token"] = liar.sign()
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await provider.exchange("c", nonce="n", verifier="v")
    assert liar.key_fetches == 1
    clock.ahead = timedelta(seconds=31)
    assert (await provider.exchange("c", nonce="n", verifier="v")).claims["sub"] == "1"
    assert liar.key_fetches == 2


async def test_the_next_refresh_token_is_kept_whatever_else_fails(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)
    kept: list[str] = []

    async def keep(token: str) -> None:
        kept.append(token)

    await provider.refresh("r", keep)
    assert kept == []
    liar.tokens["refresh_token"] = "r2"
    liar.userinfo = 500
    with pytest.raises(UnavailableError):
        await provider.refresh("r", keep)
    liar.tokens["id_token"] = "not a token"
    with pytest.raises(UnauthenticatedError):
        await provider.refresh("r", keep)
    assert kept == ["r2", "r2"]


async def test_userinfo_must_speak_of_the_same_person(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)
    liar.tokens["id_token"] = liar.sign(email="old@example.com")
    liar.userinfo = {"sub": "1", "email": "new@example.com"}
    grant = await provider.exchange("c", nonce="n", verifier="v")
    assert grant.claims["email"] == "new@example.com"
    liar.userinfo = jwt.encode({"alg": "RS256", "kid": "one"}, {"sub": "1", "name": "signed"}, liar.key)
    assert (await provider.exchange("c", nonce="n", verifier="v")).claims["name"] == "signed"
    liar.userinfo = {"sub": "2"}
    with pytest.raises(UnauthenticatedError, match="another subject"):
        await provider.exchange("c", nonce="n", verifier="v")
    for failing in (500, ["no object"], "no.signed.text"):
        liar.userinfo = failing
        with pytest.raises(UnavailableError):
            await provider.exchange("c", nonce="n", verifier="v")


async def test_refusals_of_the_token_endpoint(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)
    with pytest.raises(UnauthenticatedError, match="no ID token"):
        await provider.exchange("c", nonce="n", verifier="v")
    liar.tokens, liar.token_status = {"error": "invalid_grant", "error_description": "x" * 5000}, 400
    with pytest.raises(UnauthenticatedError) as caught:
        await provider.exchange("c", nonce="n", verifier="v")
    assert len(caught.value.message) < 300
    with pytest.raises(GrantRevokedError):
        await provider.refresh("r", forget)
    liar.tokens = {"error": "invalid_client"}
    with pytest.raises(UnauthenticatedError):
        await provider.refresh("r", forget)
    liar.token_status = 503
    with pytest.raises(UnavailableError):
        await provider.refresh("r", forget)


async def test_a_refresh_may_bring_nothing_new(liar: LyingProvider) -> None:
    del liar.metadata["userinfo_endpoint"]
    provider, _ = await meet(liar)
    grant = await provider.refresh("r", forget)
    assert (dict(grant.claims), grant.refresh_token) == ({}, "r")
    liar.tokens |= {"refresh_token": "r2", "id_token": liar.sign(nonce=None)}
    grant = await provider.refresh("r", forget)
    assert (grant.claims["sub"], grant.refresh_token) == ("1", "r2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": "https://other.example"}, "calls itself `https://other.example`"),
        ({"token_endpoint": None}, "does not say token_endpoint"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "does not answer at"),
        ({"jwks_uri": "no url"}, "does not answer at"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "signs with nothing"),
    ],
)
async def test_a_discovery_document_that_does_not_fit(
    liar: LyingProvider, changes: dict[str, Any], said: str
) -> None:
    liar.metadata |= changes
    with pytest.raises(UnavailableError, match=said):
        await meet(liar)


async def test_a_provider_with_tls_has_no_addresses_without(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(config("https://id.example"), BACK, Clock())
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    document = {"issuer": "https://id.example"} | dict.fromkeys(names, "https://id.example/x")

    async def answer(url: str, seconds: float) -> dict[str, Any]:
        return document | {"token_endpoint": "http://id.example/token"}

    monkeypatch.setattr(provider, "_get_json", answer)
    with pytest.raises(UnavailableError, match="without TLS: token_endpoint"):
        await provider.discover()


async def test_the_answer_must_come_from_whom_was_asked(liar: LyingProvider) -> None:
    provider, _ = await meet(liar)
    provider.require_issuer(None)
    provider.require_issuer(liar.issuer)
    with pytest.raises(UnauthenticatedError):
        provider.require_issuer("https://other.example")
    liar.metadata["authorization_response_iss_parameter_supported"] = True
    provider, _ = await meet(liar)
    with pytest.raises(UnauthenticatedError):
        provider.require_issuer(None)


async def test_a_provider_that_is_away_is_tried_again_now_and_then() -> None:
    clock = Clock()
    provider = Provider(config(f"http://127.0.0.1:{free_port()}"), BACK, clock)
    with pytest.raises(UnavailableError, match="does not answer at"):
        await provider.discover()
    assert not await provider.ready()
    with pytest.raises(UnavailableError):
        await provider.refresh("r", forget)
    clock.ahead = timedelta(seconds=11)
    assert not await provider.ready()
