"""What providers say of users between their logins."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.identity import make_identity
from coordinator.oidc.provider import Provider, ProviderAwayError
from coordinator.oidc.sealing import TokenSealer
from coordinator.services.identities import IdentityService
from coordinator.services.identity_refresh import IdentityRefresher
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.users import User
from tests.support.builders import FakeClock
from tests.support.lying_provider import CLIENT_ID, LyingProvider, lying_provider
from tests.support.tailnets import make_tailnet

INTERVAL = timedelta(minutes=15)


class Bench:
    """A user with a refresh token, and a provider that says what the test wants."""

    def __init__(self, liar: LyingProvider, tailnet: Tailnet, clock: FakeClock) -> None:
        self.liar, self.tailnet, self.clock = liar, tailnet, clock
        self.config = ProviderConfig(
            name="p",
            title="P",
            issuer=liar.issuer,
            client_id=CLIENT_ID,
            email_verified_required=False,
            allowed_groups=("staff", "eng"),
        )
        self.provider = Provider(self.config, "http://back", clock)
        self.identities = IdentityService(tailnet)
        self.sealer = TokenSealer(bytes(32), secrets.token_bytes)
        self.refresher = self.make_refresher(INTERVAL)

    def make_refresher(self, interval: timedelta) -> IdentityRefresher:
        providers = {"p": self.provider}
        return IdentityRefresher(self.identities, providers, self.sealer, self.clock, interval)

    async def log_in(self) -> None:
        identity = make_identity(self.config, {"sub": "1", "groups": ["staff"]})
        await self.identities.log_in(identity, self.sealer.seal("first", identity.identifier))

    @property
    def user(self) -> User:
        [user] = self.tailnet.snapshot.users.values()
        return user

    async def linked(self) -> LinkedIdentity:
        [linked] = await self.identities.of_user(self.user.id)
        return linked


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with lying_provider() as liar:
        tailnet, _, clock = make_tailnet()
        tailnet.start()
        made = Bench(liar, tailnet, clock)
        await made.log_in()
        yield made
        await tailnet.close()


def refreshed_with(bench: Bench) -> list[str]:
    return [request["refresh_token"] for request in bench.liar.requests]


async def test_groups_follow_the_provider_and_tokens_rotate(bench: Bench) -> None:
    await bench.refresher.refresh_due()
    assert bench.liar.requests == []
    bench.clock.forward(minutes=15)
    bench.liar.userinfo = {"sub": "1", "groups": ["eng"]}
    bench.liar.tokens["refresh_token"] = "second"
    await bench.refresher.refresh_due()
    assert bench.user.groups == ("group:eng",)
    await bench.refresher.refresh_due()
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    assert refreshed_with(bench) == ["first", "second"]
    stored = (await bench.linked()).refresh_token
    assert "second" not in stored


@pytest.mark.parametrize("answer", ["revoked", "filtered"])
async def test_who_may_not_stay_is_shut_out(bench: Bench, answer: str) -> None:
    bench.clock.forward(minutes=15)
    if answer == "revoked":
        bench.liar.tokens, bench.liar.token_status = {"error": "invalid_grant"}, 400
    else:
        bench.liar.userinfo = {"sub": "1", "groups": ["alumni"]}
    await bench.refresher.refresh_due()
    assert bench.user.suspended
    assert (await bench.linked()).refresh_token == ""
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    assert len(bench.liar.requests) == 1


@pytest.mark.parametrize(
    "trouble", [{"token_status": 503}, {"tokens": {"error": "invalid_client"}}, {"userinfo": {"sub": "2"}}]
)
async def test_trouble_of_the_provider_shuts_nobody_out(bench: Bench, trouble: dict[str, Any]) -> None:
    for name, value in trouble.items():
        setattr(bench.liar, name, value)
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    await bench.refresher.refresh_due()
    assert len(bench.liar.requests) == 1
    assert not bench.user.suspended
    assert bench.user.groups == ("group:staff",)
    bench.clock.forward(seconds=61)
    await bench.refresher.refresh_due()
    assert len(bench.liar.requests) == 2


@pytest.mark.parametrize("broken", ["userinfo", "database"])
async def test_a_token_that_was_replaced_is_never_used_again(bench: Bench, broken: str) -> None:
    """Providers take that for theft and end the grant, which would shut the user out."""
    bench.clock.forward(minutes=15)
    bench.liar.tokens["refresh_token"] = "second"
    store = bench.tailnet._store
    if broken == "userinfo":
        bench.liar.userinfo = 500
    else:
        store.broken = True  # type: ignore[attr-defined]
    await bench.refresher.refresh_due()
    bench.liar.userinfo, store.broken = {"sub": "1", "groups": ["eng"]}, False  # type: ignore[attr-defined]
    bench.clock.forward(minutes=3)
    if broken == "database":
        # The second time, the provider gives no other token.
        del bench.liar.tokens["refresh_token"]
    await bench.refresher.refresh_due()
    assert refreshed_with(bench) == ["first", "second"]
    assert bench.user.groups == ("group:eng",)
    stored = (await bench.linked()).refresh_token
    assert bench.sealer.open(stored, (await bench.linked()).id) == "second"


async def test_a_provider_that_is_away_is_asked_about_one_user_only(bench: Bench) -> None:
    for subject in ("2", "3"):
        identity = make_identity(bench.config, {"sub": subject, "groups": ["staff"]})
        await bench.identities.log_in(identity, bench.sealer.seal("t", identity.identifier))
    asked: list[str] = []

    async def refresh(token: str, keep: Any) -> Any:
        asked.append(token)
        raise ProviderAwayError("away")

    bench.provider.refresh = refresh  # type: ignore[method-assign]
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    await bench.refresher.refresh_due()
    assert asked == ["first"]
    # Not the same one again: what is wrong might be about them alone.
    bench.clock.forward(seconds=61)
    await bench.refresher.refresh_due()
    assert asked == ["first", "t"]


async def test_nothing_new_leaves_the_groups(bench: Bench) -> None:
    del bench.liar.metadata["userinfo_endpoint"]
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    assert bench.user.groups == ("group:staff",)
    assert (await bench.linked()).refreshed_at == bench.clock()


async def test_a_token_of_another_server_key_is_left_alone(bench: Bench) -> None:
    bench.sealer = TokenSealer(b"x" * 32, secrets.token_bytes)
    bench.refresher = bench.make_refresher(INTERVAL)
    bench.clock.forward(minutes=15)
    await bench.refresher.refresh_due()
    assert bench.liar.requests == []
    assert not bench.user.suspended


async def test_it_runs_by_itself_and_stops(bench: Bench) -> None:
    running = bench.make_refresher(timedelta(seconds=0.04))
    bench.clock.forward(minutes=15)
    running.start()
    async with asyncio.timeout(5):
        while not bench.liar.requests:
            await asyncio.sleep(0.01)
    await running.close()
    never = bench.make_refresher(timedelta())
    never.start()
    await never.close()
