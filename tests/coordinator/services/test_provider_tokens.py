"""ID tokens shown by programs: whose they are, and which do not hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.provider import Provider
from coordinator.services.identities import IdentityService
from coordinator.services.provider_tokens import ProviderTokens
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from tests.support.lying_provider import CLIENT_ID, LyingProvider, lying_provider
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="socket", name="test")


@pytest.fixture
async def liar() -> AsyncIterator[LyingProvider]:
    async with lying_provider() as provider:
        yield provider


def tokens(liar: LyingProvider, identities: IdentityService, **more: Any) -> ProviderTokens:
    config = ProviderConfig(
        name="p", title="P", issuer=liar.issuer, client_id=CLIENT_ID, client_secret="s", **more
    )
    provider = Provider(config, "http://server.example/oidc/callback", lambda: datetime.now(UTC))
    return ProviderTokens({"p": provider}, identities)


async def test_whose_a_token_is(liar: LyingProvider) -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    found = tokens(liar, IdentityService(tailnet))
    text = liar.sign(email="ada@example.com", email_verified=True, preferred_username="ada")
    user = await found.user(text)
    assert user.email == "ada@example.com"
    assert await found.user(liar.sign(nonce=None)) == user
    await UserService(tailnet).suspend(user.id, actor=ACTOR)
    with pytest.raises(ForbiddenError, match="suspended"):
        await found.user(text)
    await tailnet.close()


async def test_tokens_that_do_not_hold(liar: LyingProvider) -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    found = tokens(liar, IdentityService(tailnet))
    head, payload, signature = liar.sign().split(".")
    for wrong in (
        "",
        "a.b.c",
        "a.W10.c",
        "a." + "e30" * 3000 + ".c",
        f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{head}.{payload}.",
        liar.sign(aud="somebody else"),
        liar.sign(exp=1),
        liar.sign(iss="https://other.example"),
        liar.sign(sub=None),
    ):
        with pytest.raises(UnauthenticatedError):
            await found.user(wrong)
    narrow = tokens(liar, IdentityService(tailnet), allowed_domains=("other.example",))
    with pytest.raises(UnauthenticatedError, match="not allowed"):
        await narrow.user(liar.sign(email="ada@example.com", email_verified=True))
    assert list(tailnet.snapshot.users) == []
    await tailnet.close()


async def test_a_provider_that_is_away(liar: LyingProvider) -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    liar.metadata = {}
    with pytest.raises(UnavailableError):
        await tokens(liar, IdentityService(tailnet)).user(liar.sign())
    await tailnet.close()
