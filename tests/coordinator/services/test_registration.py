"""Registration end to end through the writer: what becomes of nodes, keys and names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from acl import parse_policy
from coordinator.services.key_rotation import KeyRotation, Wanted
from coordinator.services.login import PendingLogins
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.rate_limits import RateLimits, RateLimitSettings
from coordinator.services.registration import UNKNOWN_KEY, RegistrationService, RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.tailcfg.codec import go_time
from coordinator.tailcfg.errors import WireError
from coordinator.tailcfg.register import RegisterAuth, RegisterRequest, RegisterResponse
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.device_approval import ApprovalRule
from coordinator.tailnet.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)
from coordinator.tailnet.registration import UNUSABLE_NODE_KEY
from coordinator.tailnet.users import UserID
from tests.support.builders import FakeClock, machine_key, node_key
from tests.support.tailnets import PREFIXES, MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")
POLICY = """{"tagOwners": {"tag:ci": ["user1@"], "tag:web": []},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"""
LOGOUT = "1970-01-01T00:02:03Z"


@dataclass
class Bench:
    """The service with everything around it."""

    service: RegistrationService
    tailnet: Tailnet
    logins: PendingLogins
    keys: PreAuthKeyService
    store: MemoryStore
    clock: FakeClock

    async def key(self, **fields: object) -> str:
        defaults = {"user_id": 1, "expiration": self.clock.now + timedelta(hours=1), "actor": ACTOR}
        return (await self.keys.create(**defaults | fields))[1]  # type: ignore[arg-type]

    async def register(
        self, machine: int = 1, node: int = 1, key: str = "", **fields: object
    ) -> RegisterResponse:
        request = RegisterRequest(
            version=142,
            node_key=node_key(node),
            auth=RegisterAuth(auth_key=key) if key else None,
            **{"hostinfo": {"Hostname": f"host{machine}"}, **fields},  # type: ignore[arg-type]
        )
        return await self.service.register(machine_key(machine), request)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    tailnet, store, clock = make_tailnet(policy=POLICY)
    numbers = iter(range(1, 1000))
    logins = PendingLogins("http://server", clock, lambda size: f"{next(numbers):0{2 * size}x}")
    service = RegistrationService(
        tailnet,
        logins,
        RegistrationSettings(prefixes=PREFIXES, key_lifetime=timedelta(days=90)),
        lambda size: 0,
    )
    keys = PreAuthKeyService(
        tailnet, lambda size: next(numbers).to_bytes(6, "big") * (size // 6) + b"\0" * (size % 6)
    )
    tailnet.start()
    await UserService(tailnet).create("user1", actor=ACTOR)
    yield Bench(service, tailnet, logins, keys, store, clock)
    await tailnet.close()


async def test_a_join_is_durable_before_it_is_answered(bench: Bench) -> None:
    key = await bench.key()
    commits = len(bench.store.commits)
    response = await bench.register(key=key)
    assert response.machine_authorized
    assert response.login["LoginName"] == "user1"
    (node,) = bench.store.commits[commits].put_nodes.values()
    assert str(node.ipv4) == "100.64.0.1"
    assert node.given_name == "host1"
    assert node.expiry == bench.clock.now + timedelta(days=90)


async def test_when_the_database_is_away_nothing_is_said_to_have_worked(bench: Bench) -> None:
    key = await bench.key()
    bench.store.broken = True
    with pytest.raises(UnavailableError):
        await bench.register(key=key)
    assert bench.tailnet.snapshot.nodes() == []
    bench.store.broken = False
    assert (await bench.register(key=key)).machine_authorized
    assert str(bench.tailnet.snapshot.nodes()[0].ipv4) == "100.64.0.1"


async def test_a_one_time_key_admits_one_machine(bench: Bench) -> None:
    key = await bench.key()
    await bench.register(1, 1, key)
    response = await bench.register(2, 2, key)
    assert "already used" in str(response.error)


async def test_a_used_one_time_key_still_confirms_the_same_machine(bench: Bench) -> None:
    """Pitfall: a first answer that never arrived must not leave the key used and the machine out."""
    key = await bench.key()
    await bench.register(1, 1, key)
    commits = len(bench.store.commits)
    response = await bench.register(1, 1, key)
    assert response.machine_authorized
    assert len(bench.store.commits) == commits, "a confirmation costs no transaction"


async def test_two_machines_at_once_with_a_one_time_key(bench: Bench) -> None:
    import asyncio

    key = await bench.key()
    answers = await asyncio.gather(*(bench.register(number, number, key) for number in range(1, 6)))
    assert sum(answer.machine_authorized for answer in answers) == 1


@pytest.mark.parametrize("text", ["nonsense", "hskey-auth-" + "0" * 12 + "-" + "0" * 64])
async def test_a_wrong_key_gets_a_sentence(bench: Bench, text: str) -> None:
    response = await bench.register(key=text)
    assert str(response.error) in (UNKNOWN_KEY,) or "copy the whole text" in str(response.error)


async def test_an_expired_key(bench: Bench) -> None:
    key = await bench.key()
    bench.clock.forward(hours=2)
    assert "expired" in str((await bench.register(key=key)).error)


async def test_a_revoked_key(bench: Bench) -> None:
    key = await bench.key()
    await bench.keys.expire(1, actor=ACTOR)
    assert "revoked" in str((await bench.register(key=key)).error)


async def test_names_and_addresses_are_unique(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    for number in (1, 2, 3):
        await bench.register(number, number, key, hostinfo={"Hostname": "Same Name"})
    nodes = bench.tailnet.snapshot.nodes()
    assert [node.given_name for node in nodes] == ["same-name", "same-name-1", "same-name-2"]
    assert len({node.ipv4 for node in nodes} | {node.ipv6 for node in nodes}) == 6


async def test_a_new_node_key_keeps_the_node(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    await bench.register(1, 1, key)
    before = bench.tailnet.snapshot.nodes()[0]
    await bench.register(1, 2, key, old_node_key=node_key(1))
    (after,) = bench.tailnet.snapshot.nodes()
    assert (after.id, after.ipv4, after.given_name) == (before.id, before.ipv4, before.given_name)
    assert after.node_key == node_key(2)


async def test_a_node_key_does_not_work_from_another_machine(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    await bench.register(1, 1, key)
    assert (await bench.register(2, 1, key)).error == UNUSABLE_NODE_KEY
    assert (await bench.register(2, 1, expiry=LOGOUT)) == (await bench.register(3, 9, expiry=LOGOUT))
    assert (await bench.register(2, 1)).auth_url, "as for a node key nobody holds"
    assert not bench.tailnet.snapshot.records[0].expired
    assert bench.tailnet.snapshot.nodes()[0].machine_key == machine_key(1)


async def test_logout_and_coming_back(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    await bench.register(1, 1, key)
    await bench.register(1, 1, key, expiry=LOGOUT)
    assert bench.tailnet.snapshot.records[0].expired
    await bench.register(1, 2, key)
    (node,) = bench.tailnet.snapshot.nodes()
    assert node.node_key == node_key(2)
    assert not bench.tailnet.snapshot.records[0].expired


async def test_an_ephemeral_node_is_gone_at_logout(bench: Bench) -> None:
    await bench.register(1, 1, await bench.key(ephemeral=True))
    assert bench.tailnet.snapshot.nodes()[0].ephemeral
    await bench.register(1, 1, expiry=LOGOUT)
    assert bench.tailnet.snapshot.nodes() == []


async def test_an_expired_node_is_told_to_renew(bench: Bench) -> None:
    await bench.register(1, 1, await bench.key())
    bench.clock.forward(days=91)
    assert (await bench.register(1, 1)).node_key_expired


async def test_tags_of_the_key_and_requested_ones(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    response = await bench.register(1, 1, key, hostinfo={"Hostname": "a", "RequestTags": ["tag:ci"]})
    assert response.login["LoginName"] == "tagged-devices"
    node = bench.tailnet.snapshot.nodes()[0]
    assert (node.tags, node.user_id, node.expiry) == (("tag:ci",), None, None)
    refused = await bench.register(2, 2, key, hostinfo={"Hostname": "b", "RequestTags": ["tag:web"]})
    assert refused.error == "requested tags [tag:web] are invalid or not permitted"


async def test_a_machine_without_a_key_waits_for_a_person(bench: Bench) -> None:
    import asyncio

    first = await bench.register()
    assert first.auth_url.startswith("http://server/register/hskey-authreq-")
    assert (await bench.register()).auth_url == first.auth_url
    waiting = asyncio.create_task(bench.register(followup=first.auth_url))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    login_id = first.auth_url.rpartition("/")[2]
    node = await bench.service.approve(login_id, bench.tailnet.snapshot.users[1].id, actor=ACTOR)  # type: ignore[index]
    assert node.user_id == 1
    assert (await waiting).machine_authorized
    with pytest.raises(NotFoundError):
        await bench.service.approve(login_id, node.user_id, actor=ACTOR)


async def test_after_a_restart_a_followup_gets_a_new_url(bench: Bench) -> None:
    response = await bench.register(followup="http://server/register/hskey-authreq-forgotten")
    assert response.auth_url
    assert "forgotten" not in response.auth_url


async def test_a_client_may_shorten_its_key(bench: Bench) -> None:
    await bench.register(1, 1, await bench.key())
    sooner = bench.clock.now + timedelta(hours=1)
    await bench.register(1, 1, expiry=go_time(sooner))
    assert bench.tailnet.snapshot.nodes()[0].expiry == sooner
    await bench.register(1, 1, expiry=go_time(sooner + timedelta(days=1)))
    assert bench.tailnet.snapshot.nodes()[0].expiry == sooner


@pytest.mark.parametrize(
    "fields",
    [
        {"node_key": "nodekey:" + "0" * 64},
        {"node_key": "mkey:" + "1" * 64},
        {"old_node_key": "x"},
        {"network_lock_key": "x"},
        {"expiry": "yesterday"},
    ],
)
async def test_malformed_requests(bench: Bench, fields: dict[str, str]) -> None:
    request = RegisterRequest(**{"version": 142, "node_key": node_key(1), **fields})  # type: ignore[arg-type]
    with pytest.raises(WireError):
        await bench.service.register(machine_key(1), request)


async def test_ids_survive_a_deletion(bench: Bench) -> None:
    key = await bench.key(reusable=True, ephemeral=True)
    await bench.register(1, 1, key)
    await bench.register(1, 1, key, expiry=LOGOUT)
    await bench.register(2, 2, key)
    (node,) = bench.tailnet.snapshot.nodes()
    assert node.id == 2
    assert str(node.ipv4) == "100.64.0.2", "a freed address is not given to the next machine"


async def test_the_policy_says_which_addresses_a_new_node_may_have(bench: Bench) -> None:
    pool = parse_policy(
        '{"nodeAttrs": [{"target": ["tag:ci"], "ipPool": ["100.81.0.0/16"]}], "tagOwners": {"tag:ci": []}}'
    )
    bench.tailnet.replace_policy(pool)
    key = await bench.key(tags=("tag:ci",), reusable=True)
    await bench.register(1, 1, key)
    await bench.register(2, 2, key)
    await bench.register(3, 3, await bench.key())
    addresses = [str(node.ipv4) for node in bench.tailnet.snapshot.nodes()]
    assert addresses == ["100.81.0.0", "100.81.0.1", "100.64.0.1"]


async def test_a_suspended_user_lets_nothing_in_until_restored(bench: Bench) -> None:
    users = UserService(bench.tailnet)
    plain, tagged = await bench.key(reusable=True), await bench.key(tags=["tag:ci"])
    assert (await bench.register(1, 1, plain)).machine_authorized
    url = (await bench.register(9, 9)).auth_url
    await users.suspend(1, actor=ACTOR)
    assert (await bench.register(1, 1, plain)).node_key_expired
    for machine, key in ((1, plain), (2, plain), (3, tagged)):
        response = await bench.register(machine, 10 + machine, key)
        assert "user `user1` is suspended" in str(response.error)
    with pytest.raises(ForbiddenError, match="suspended"):
        await bench.service.approve(url.rpartition("/")[2], UserID(1), actor=ACTOR)
    await users.restore(1, actor=ACTOR)
    assert (await bench.register(1, 11, plain)).machine_authorized
    assert [node.id for node in bench.tailnet.snapshot.nodes()] == [1], "the same node as before"
    assert (await bench.register(3, 13, tagged)).machine_authorized


async def test_an_approval_of_a_machine_that_joined_meanwhile(bench: Bench) -> None:
    """Pitfall: a second node with the same key, or a key that moves to another user by a late approval."""
    users = UserService(bench.tailnet)
    other = await users.create("user2", actor=ACTOR)
    login = (await bench.register(1, 1)).auth_url.rpartition("/")[2]
    await bench.register(1, 1, await bench.key())
    with pytest.raises(ConflictError, match="joined meanwhile as node `host1`"):
        await bench.service.approve(login, other.id, actor=ACTOR)
    (node,) = bench.tailnet.snapshot.nodes()
    assert (await bench.service.approve(login, UserID(1), actor=ACTOR)) == node


async def test_a_key_for_three_machines(bench: Bench) -> None:
    key = await bench.key(max_uses=3, description="lab")
    for number in range(1, 4):
        assert (await bench.register(number, number, key)).machine_authorized
    assert "as many machines as it may (3)" in str((await bench.register(4, 4, key)).error)
    assert (await bench.register(3, 3, key)).machine_authorized, "a restart is no further use"
    (stored,) = bench.keys.list()
    assert (stored.uses, stored.last_used_at, stored.reusable) == (3, bench.clock.now, True)


def limited(bench: Bench, **settings: int) -> RegistrationService:
    limits = RateLimits(RateLimitSettings(**settings), lambda: 0.0)  # type: ignore[arg-type]
    return RegistrationService(
        bench.tailnet, bench.logins, RegistrationSettings(prefixes=PREFIXES), lambda size: 0, limits
    )


async def test_only_failures_count_and_who_is_in_is_not_limited(bench: Bench) -> None:
    service = bench.service = limited(bench, address_burst=2, machine_burst=5)

    async def attempt(number: int, key: str = "") -> RegisterResponse:
        auth = RegisterAuth(auth_key=key) if key else None
        request = RegisterRequest(version=142, node_key=node_key(number), auth=auth, hostinfo={})
        return await service.register(machine_key(number), request, remote="192.0.2.1")

    good = await bench.key(reusable=True)
    for number in range(1, 21):
        assert (await attempt(number, good)).machine_authorized
    await bench.keys.expire(1, actor=ACTOR)
    for number in range(21, 31):
        assert "revoked" in str((await attempt(number, good)).error), "a stale key costs no neighbour"
    for number in (31, 32):
        assert (await attempt(number, "hskey-auth-nonsense")).error
    for key in ("hskey-auth-nonsense", good, ""):
        with pytest.raises(RateLimitedError) as caught:
            await attempt(33, key)
        assert caught.value.retry_after == 1
    assert (await attempt(1)).machine_authorized


async def test_a_machine_that_keeps_failing_is_limited(bench: Bench) -> None:
    bench.service = limited(bench, machine_burst=3)
    for _ in range(3):
        assert (await bench.register(1, 1, "nonsense")).error
    with pytest.raises(RateLimitedError, match="machine"):
        await bench.register(1, 1, "nonsense")
    assert (await bench.register(2, 2, "nonsense")).error


async def test_approval_is_asked_for_and_an_administrator_may_let_in_at_once(bench: Bench) -> None:
    settings = RegistrationSettings(prefixes=PREFIXES, approval=ApprovalRule(required=True))
    bench.service = RegistrationService(bench.tailnet, bench.logins, settings, lambda size: 0)
    assert not (await bench.register(1, 1, await bench.key())).machine_authorized
    assert not (await bench.register(1, 1)).machine_authorized, "a restart changes nothing"
    assert (await bench.register(2, 2, await bench.key(preapproved=True))).machine_authorized
    url = (await bench.register(3, 3)).auth_url
    node = await bench.service.approve(str(url).rpartition("/")[2], UserID(1), actor=ACTOR)
    assert node.approved
    url = (await bench.register(4, 4)).auth_url
    person = Actor(kind="user", name="user1")
    node = await bench.service.approve(str(url).rpartition("/")[2], UserID(1), actor=person)
    assert not node.approved


async def test_a_node_key_that_is_taken_cannot_be_let_in_by_hand(bench: Bench) -> None:
    await bench.register(1, 1, await bench.key())
    url = (await bench.register(2, 1)).auth_url
    with pytest.raises(ConflictError, match="another machine"):
        await bench.service.approve(str(url).rpartition("/")[2], UserID(1), actor=ACTOR)


async def test_coming_back_restarts_the_absence_of_an_ephemeral_node(bench: Bench) -> None:
    """Pitfall: an ephemeral node that was away nearly too long, removed before its first map."""
    key = await bench.key(ephemeral=True, reusable=True)
    await bench.register(1, 1, key)
    bench.clock.forward(minutes=29)
    await bench.register(1, 1)
    assert bench.tailnet.snapshot.nodes()[0].last_seen == bench.clock.now
    bench.clock.forward(minutes=29)
    await bench.register(1, 2, key, old_node_key=node_key(1))
    assert bench.tailnet.snapshot.nodes()[0].last_seen == bench.clock.now


async def test_the_age_of_a_key_begins_anew_with_the_key_and_not_with_the_client(bench: Bench) -> None:
    key = await bench.key(reusable=True)
    await bench.register(key=key)
    began = bench.clock.now
    bench.clock.forward(minutes=10)
    await bench.register(key=key)
    (node,) = bench.tailnet.snapshot.nodes()
    assert (node.created_at, node.key_since) == (began, began)
    await bench.register(node=2, key=key, old_node_key=node_key(1))
    (node,) = bench.tailnet.snapshot.nodes()
    assert (node.node_key, node.created_at, node.key_since) == (node_key(2), began, bench.clock.now)


async def rotating(bench: Bench, key: str) -> None:
    """A node that is in, and whose new key is awaited."""
    await bench.register(key=key)
    await KeyRotation(bench.tailnet).ask(Wanted(ids=[1]), within=None, actor=ACTOR)


async def test_an_awaited_key_needs_no_login_and_leaves_the_node_as_it_is(bench: Bench) -> None:
    await rotating(bench, await bench.key())
    (before,) = bench.tailnet.snapshot.nodes()
    bench.clock.forward(days=1)
    answer = await bench.register()
    assert (answer.node_key_expired, bool(answer.auth_url), bool(answer.error)) == (True, False, False)
    answer = await bench.register(node=2, old_node_key=node_key(1))
    assert (answer.machine_authorized, bool(answer.auth_url), answer.node_key_expired) == (True, False, False)
    (node,) = bench.tailnet.snapshot.nodes()
    assert (node.node_key, node.key_since) == (node_key(2), bench.clock.now)
    assert (node.id, node.ipv4, node.expiry, node.user_id) == (1, before.ipv4, before.expiry, before.user_id)
    assert bench.store.commits[-1].audit[-1].action == "node.renew_key"
    # Once: the next change of key is a login again.
    assert (await bench.register(node=2)).machine_authorized
    assert (await bench.register(node=3, old_node_key=node_key(2))).auth_url


async def test_an_awaited_key_whose_answer_got_lost(bench: Bench) -> None:
    await rotating(bench, await bench.key())
    await bench.register(node=2, old_node_key=node_key(1))
    assert (await bench.register(node=1)).node_key_expired
    assert (await bench.register(node=3, old_node_key=node_key(1))).machine_authorized
    (node,) = bench.tailnet.snapshot.nodes()
    assert node.node_key == node_key(3)
    bench.clock.forward(minutes=11)
    assert (await bench.register(node=4, old_node_key=node_key(1))).auth_url


@pytest.mark.parametrize("keep", [False, True])
async def test_a_spent_auth_key_does_not_stand_in_the_way(bench: Bench, keep: bool) -> None:
    """Containers give theirs at every start."""
    key = await bench.key(reusable=keep)
    await rotating(bench, key)
    assert (await bench.register(key=key)).node_key_expired
    answer = await bench.register(node=2, key=key, old_node_key=node_key(1))
    assert (answer.machine_authorized, bool(answer.error)) == (True, False)
    (node,) = bench.tailnet.snapshot.nodes()
    assert (node.id, node.node_key) == (1, node_key(2))


async def test_nobody_else_gets_an_awaited_key(bench: Bench) -> None:
    await rotating(bench, await bench.key())
    await bench.register(machine=2, node=5, key=await bench.key())
    # Another machine, a key another machine holds, and a wrong former key.
    assert (await bench.register(machine=3, node=2, old_node_key=node_key(1))).auth_url
    assert (await bench.register(node=5, old_node_key=node_key(1))).auth_url
    assert (await bench.register(node=2, old_node_key=node_key(7))).auth_url
    assert {node.node_key for node in bench.tailnet.snapshot.nodes()} == {node_key(1), node_key(5)}


async def test_a_good_key_of_another_user_goes_before_the_awaited_one(bench: Bench) -> None:
    await rotating(bench, await bench.key())
    other = await UserService(bench.tailnet).create("other", actor=ACTOR)
    await bench.register(node=2, key=await bench.key(user_id=other.id), old_node_key=node_key(1))
    assert [node.user_id for node in bench.tailnet.snapshot.nodes()] == [1, other.id]
