"""Identities and the users they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from coordinator.oidc.identity import Identity
from coordinator.services.identities import IdentityService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, FakeClock, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
POLICY = """{"groups": {"group:eng": ["local@"]},
  "acls": [{"action": "accept", "src": ["group:eng"], "dst": ["*:22"]}]}"""


class Bench:
    """The service, with what it stands on."""

    def __init__(self, state: TailnetState | None = None, policy: str | None = None) -> None:
        made: tuple[Tailnet, MemoryStore, FakeClock] = make_tailnet(state, policy=policy)
        self.tailnet, self.store, self.clock = made
        self.identities = IdentityService(self.tailnet)
        self.users = UserService(self.tailnet)
        self.tailnet.start()

    def actions(self) -> list[str]:
        return [entry.action for changes in self.store.commits for entry in changes.audit]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.tailnet.close()


def somebody(subject: str = "1", **changes: Any) -> Identity:
    values: dict[str, Any] = {
        "provider": "p",
        "identifier": f"https://id.example/{subject}",
        "username": "ada",
        "display_name": "Ada",
        "email": "ada@example.com",
    }
    return Identity(**values | changes)


async def test_the_first_login_makes_a_user_and_later_ones_refresh_it(bench: Bench) -> None:
    first = await bench.identities.log_in(somebody(), "sealed")
    assert (first.name, first.email, first.provider) == ("ada", "ada@example.com", "oidc")
    assert first.provider_identifier == "https://id.example/1"
    assert bench.actions() == ["user.create", "user.login"]
    again = await bench.identities.log_in(somebody(display_name="Ada L", groups=("group:x",)), "")
    assert (again.id, again.display_name, again.groups) == (first.id, "Ada L", ("group:x",))
    assert bench.actions()[2:] == ["user.update", "user.login"]
    [linked] = await bench.identities.of_user(first.id)
    assert linked.refresh_token == "sealed"


async def test_an_imported_user_is_known_by_their_identity() -> None:
    user = make_user(4, name="old", provider="oidc", provider_identifier="https://id.example/1")
    bench = Bench(TailnetState(users={user.id: user}, counters={"users": 4}))
    [linked] = await bench.identities.of_user(4)
    assert linked.id == "https://id.example/1"
    assert (await bench.identities.log_in(somebody(), "")).id == user.id
    await bench.tailnet.close()


async def test_nobody_becomes_another_user_by_their_address(bench: Bench) -> None:
    local = await bench.users.create("grace", email="Ada@example.com", actor=ACTOR)
    with pytest.raises(ConflictError, match=f"users link --identifier {local.id} https://id.example/1"):
        await bench.identities.log_in(somebody(), "")
    await bench.identities.link(local.id, "https://id.example/1", actor=ACTOR)
    user = await bench.identities.log_in(somebody(), "")
    assert (user.id, user.name) == (local.id, "ada")


@pytest.mark.parametrize("username", ["root", "boss@example.com", "Root", "x", "", "9lives", "user-7"])
async def test_a_name_that_means_somebody_else_is_not_taken(bench: Bench, username: str) -> None:
    await bench.users.create("root", email="boss@example.com", actor=ACTOR)
    user = await bench.identities.log_in(somebody(username=username), "")
    assert user.name == "ada@example.com"
    nameless = await bench.identities.log_in(somebody("2", username=username, email=""), "")
    assert nameless.name == f"user-{nameless.id}"


async def test_an_address_somebody_else_has_is_not_taken_later(bench: Bench) -> None:
    await bench.users.create("grace", email="grace@example.com", actor=ACTOR)
    await bench.identities.log_in(somebody(), "")
    user = await bench.identities.log_in(somebody(email="grace@example.com", username="grace"), "")
    assert (user.name, user.email) == ("ada", "ada@example.com")


async def test_a_suspended_user_does_not_log_in(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(), "")
    await bench.users.suspend(user.id, actor=ACTOR)
    with pytest.raises(ForbiddenError, match="an administrator"):
        await bench.identities.log_in(somebody(), "")


async def test_whom_the_provider_shuts_out_is_out_until_they_log_in() -> None:
    node, tagged = make_node(1), make_node(2, tags=("tag:x",))
    user = make_user(1, provider="oidc", provider_identifier="https://id.example/1")
    state = TailnetState(
        users={user.id: user}, nodes={node.id: node, tagged.id: tagged}, counters={"users": 1}
    )
    bench = Bench(state)
    await bench.identities.log_in(somebody(groups=("group:x",)), "sealed")
    [linked] = await bench.identities.of_user(1)
    assert await bench.identities.shut_out(linked, "gone")
    snapshot = bench.tailnet.snapshot
    shut_out = snapshot.users[UserID(1)]
    assert (shut_out.suspended, shut_out.suspended_at, shut_out.groups) == (True, None, ())
    records = {record.node.id: record.expired for record in snapshot.records.values()}
    assert records == {node.id: True, tagged.id: False}
    assert bench.actions()[-1] == "user.offboard"
    assert await bench.identities.renewable(NOW + timedelta(days=1)) == []
    back = await bench.identities.log_in(somebody(), "")
    assert not back.suspended
    await bench.tailnet.close()


async def test_a_login_goes_ahead_of_a_refresh_under_way(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(), "old")
    [tried] = await bench.identities.of_user(user.id)
    await bench.identities.log_in(somebody(groups=("group:new",)), "new")
    assert not await bench.identities.shut_out(tried, "gone")
    await bench.identities.refreshed(tried, somebody(groups=()), "other")
    [linked] = await bench.identities.of_user(user.id)
    assert (linked.refresh_token, linked.groups) == ("new", ("group:new",))
    assert not bench.tailnet.snapshot.users[user.id].suspended


async def test_a_renewal_without_news_is_not_recorded(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(), "one")
    recorded = bench.actions()
    for identity, token in ((None, "two"), (somebody(), "three")):
        bench.clock.forward(minutes=15)
        [linked] = await bench.identities.of_user(user.id)
        await bench.identities.refreshed(linked, identity, token)
    [linked] = await bench.identities.of_user(user.id)
    assert (linked.refresh_token, linked.refreshed_at) == ("three", bench.clock())
    assert bench.actions() == recorded


async def test_a_renewal_does_not_bring_back_whom_another_provider_shut_out(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(), "one")
    await bench.identities.link(user.id, "https://other.example/7", actor=ACTOR)
    await bench.identities.log_in(somebody(identifier="https://other.example/7", provider="q"), "two")
    first, second = await bench.identities.of_user(user.id)
    await bench.identities.shut_out(first, "gone")
    await bench.identities.refreshed(second, somebody(identifier=second.id, provider="q"), "three")
    assert bench.tailnet.snapshot.users[user.id].suspended
    await bench.users.restore(user.id, actor=ACTOR)
    assert not bench.tailnet.snapshot.users[user.id].suspended


async def test_linking_moves_the_user_and_unlinking_moves_back(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(groups=("group:a",)), "")
    linked = await bench.identities.link(user.id, "https://new.example/7", actor=ACTOR)
    assert linked.provider_identifier == "https://new.example/7"
    assert await bench.identities.link(user.id, "https://new.example/7", actor=ACTOR) == linked
    moved = await bench.identities.log_in(
        somebody(identifier="https://new.example/7", provider="new", groups=("group:b",)), ""
    )
    assert (moved.id, moved.groups) == (user.id, ("group:a", "group:b"))
    left = await bench.identities.unlink(user.id, "https://id.example/1", actor=ACTOR)
    assert (left.provider_identifier, left.groups) == ("https://new.example/7", ("group:b",))
    local = await bench.identities.unlink(user.id, "https://new.example/7", actor=ACTOR)
    assert (local.provider, local.provider_identifier, local.groups) == ("", None, ())
    with pytest.raises(NotFoundError):
        await bench.identities.unlink(user.id, "https://new.example/7", actor=ACTOR)


async def test_what_cannot_be_linked(bench: Bench) -> None:
    ada = await bench.identities.log_in(somebody(), "")
    bob = await bench.users.create("bob", actor=ACTOR)
    with pytest.raises(ConflictError, match=f"id {ada.id}"):
        await bench.identities.link(bob.id, "https://id.example/1", actor=ACTOR)
    for text in ("", "bob", "https://", "https://id.example/", "https://id.example/a b", "ftp://x/y"):
        with pytest.raises(InvalidError):
            await bench.identities.link(bob.id, text, actor=ACTOR)
    with pytest.raises(NotFoundError):
        await bench.identities.link(99, "https://id.example/2", actor=ACTOR)


async def test_identities_go_with_their_user(bench: Bench) -> None:
    user = await bench.identities.log_in(somebody(), "sealed")
    await bench.users.delete(user.id, actor=ACTOR)
    assert bench.store.commits[-1].delete_identities == {"https://id.example/1"}
    assert (await bench.identities.log_in(somebody(), "")).id != user.id


async def test_a_local_name_that_is_taken_keeps_the_last_identity(bench: Bench) -> None:
    ada = await bench.identities.log_in(somebody(), "")
    await bench.users.create("ada", actor=ACTOR)
    with pytest.raises(ConflictError, match="rename one"):
        await bench.identities.unlink(ada.id, "https://id.example/1", actor=ACTOR)


async def test_groups_of_claim_and_policy_are_united() -> None:
    local = make_user(1, name="local")
    state = TailnetState(users={local.id: local}, counters={"users": 1})
    bench = Bench(state, POLICY)
    user = await bench.identities.log_in(somebody(groups=("group:eng",)), "")
    facts = bench.tailnet.world.policy.engine.directory
    assert facts.users_of("group:eng") == {local.id, user.id}
    await bench.identities.log_in(somebody(groups=()), "")
    assert bench.tailnet.world.policy.engine.directory.users_of("group:eng") == {local.id}
    await bench.tailnet.close()
