"""API keys: whose they are and when they stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from coordinator.services.api_keys import ApiKeyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import FakeClock, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

ACTOR = Actor(kind="socket", name="test")


@pytest.fixture
async def tailnet() -> AsyncIterator[Tailnet]:
    made, _, _ = make_tailnet(TailnetState(users={make_user(1).id: make_user(1)}))
    made.start()
    yield made
    await made.close()


def service(tailnet: Tailnet) -> ApiKeyService:
    numbers = iter(range(1, 100))
    return ApiKeyService(tailnet, (), lambda size: next(numbers).to_bytes(2, "big") * (size // 2))


async def test_a_key_works_until_it_ends(tailnet: Tailnet) -> None:
    keys = service(tailnet)
    key, text = await keys.create(user_id=None, expiration=None, actor=ACTOR)
    assert keys.authenticate(text) == key
    assert keys.role(key) is None
    assert keys.authenticate(text[:-1] + "0") is None
    clock = tailnet.clock
    assert isinstance(clock, FakeClock)
    assert key.expiration == clock() + timedelta(days=90)
    await keys.expire(prefix=key.masked, actor=ACTOR)
    assert keys.authenticate(text) is None
    await keys.delete(key_id=key.id, actor=ACTOR)
    assert keys.list() == []
    with pytest.raises(InvalidError, match="passed already"):
        await keys.create(user_id=None, expiration=clock(), actor=ACTOR)


async def test_a_suspended_users_key_is_none(tailnet: Tailnet) -> None:
    keys, users = service(tailnet), UserService(tailnet)
    key, text = await keys.create(user_id=1, expiration=None, actor=ACTOR)
    assert keys.role(key) == "member"
    await users.suspend(1, actor=ACTOR)
    assert keys.authenticate(text) is None
    with pytest.raises(ForbiddenError):
        await keys.create(user_id=1, expiration=None, actor=ACTOR)
    await users.restore(1, actor=ACTOR)
    assert keys.authenticate(text) == key


async def test_use_is_remembered_now_and_then(tailnet: Tailnet) -> None:
    keys = service(tailnet)
    key, text = await keys.create(user_id=None, expiration=None, actor=ACTOR)
    await keys.seen(key)
    (seen,) = keys.list()
    assert seen.last_seen == tailnet.clock()
    await keys.seen(seen)
    assert keys.list() == [seen]
    assert keys.authenticate(text) == seen


async def test_which_key(tailnet: Tailnet) -> None:
    keys = service(tailnet)
    for arguments in ({}, {"prefix": "x", "key_id": 1}):
        with pytest.raises(InvalidError, match="not both"):
            await keys.expire(**arguments, actor=ACTOR)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await keys.expire(key_id=9, actor=ACTOR)


async def test_who_may_name_any_person(tailnet: Tailnet) -> None:
    keys = service(tailnet)
    of_all, _ = await keys.create(user_id=None, expiration=None, actor=ACTOR)
    of_one, _ = await keys.create(user_id=1, expiration=None, actor=ACTOR)
    assert keys.speaks_for_all(ACTOR)
    assert keys.speaks_for_all(Actor(kind="api_key", name=of_all.prefix))
    for other in (Actor(kind="api_key", name=of_one.prefix), Actor(kind="user", name=of_all.prefix)):
        assert not keys.speaks_for_all(other)


async def test_keys_of_another_instance_are_known_used_and_ended() -> None:
    store, clock = MemoryStore(), FakeClock()
    tailnets = [make_tailnet(store=store, clock=clock)[0] for _ in range(2)]
    one, two = (service(tailnet) for tailnet in tailnets)
    for tailnet in tailnets:
        tailnet.start()
    key, text = await one.create(user_id=None, expiration=None, actor=ACTOR)
    assert two.authenticate(text) is None
    await tailnets[1].catch_up()
    assert two.authenticate(text) == key
    await two.seen(key)
    await one.expire(key_id=key.id, actor=ACTOR)
    await tailnets[1].catch_up()
    assert two.authenticate(text) is None
    assert two.list() == one.list()
    assert two.list()[0].last_seen == clock.now
    await two.delete(prefix=key.prefix, actor=ACTOR)
    await tailnets[0].catch_up()
    assert one.list() == two.list() == []
    for tailnet in tailnets:
        await tailnet.close()
