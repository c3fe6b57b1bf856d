"""Verbs on pre-auth keys."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.preauth_keys import matches, split_key
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, make_user
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="socket", name="test")


async def test_only_a_hash_is_stored() -> None:
    user = make_user(1)
    tailnet, store, _ = make_tailnet(TailnetState(users={user.id: user}))
    tailnet.start()
    keys = PreAuthKeyService(tailnet, lambda size: bytes(range(size)))
    key, text = await keys.create(user_id=1, expiration=NOW + timedelta(hours=1), actor=ACTOR)
    assert matches(key, split_key(text)[1])
    assert split_key(text)[1] not in repr(store.commits)
    await tailnet.close()


async def test_what_cannot_be_made() -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    keys = PreAuthKeyService(tailnet, lambda size: bytes(size))
    with pytest.raises(InvalidError, match="user or tags"):
        await keys.create(user_id=None, expiration=None, actor=ACTOR)
    with pytest.raises(NotFoundError):
        await keys.create(user_id=9, expiration=None, actor=ACTOR)
    with pytest.raises(InvalidError, match="passed"):
        await keys.create(user_id=9, expiration=NOW, actor=ACTOR)
    for fields in ({"max_uses": 0}, {"max_uses": 1, "reusable": True}, {"description": "a" * 201}):
        with pytest.raises(InvalidError):
            await keys.create(user_id=9, expiration=None, actor=ACTOR, **fields)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await keys.expire(1, actor=ACTOR)
    with pytest.raises(NotFoundError):
        await keys.delete(1, actor=ACTOR)
    await tailnet.close()
