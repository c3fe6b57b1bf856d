"""Verbs on users."""

from __future__ import annotations

import pytest

from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import make_node, make_user
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="socket", name="test")


async def test_a_user_who_owns_nodes_is_not_deleted() -> None:
    user, node = make_user(1), make_node(1)
    tailnet, _, _ = make_tailnet(TailnetState(users={user.id: user}, nodes={node.id: node}))
    tailnet.start()
    with pytest.raises(ConflictError, match="node1"):
        await UserService(tailnet).delete(1, actor=ACTOR)
    await tailnet.close()


async def test_pre_auth_keys_go_with_their_user() -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    users, keys = UserService(tailnet), PreAuthKeyService(tailnet, lambda size: b"x" * size)
    user = await users.create("alice", actor=ACTOR)
    await keys.create(user_id=user.id, expiration=None, actor=ACTOR)
    await users.delete(user.id, actor=ACTOR)
    assert keys.list() == []
    await tailnet.close()


async def test_find_by_id_name_email() -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    users = UserService(tailnet)
    user = await users.create("alice", email="a@b.c", actor=ACTOR)
    assert [users.find(text) for text in (1, "1", "alice", "a@b.c")] == [user] * 4
    with pytest.raises(NotFoundError):
        users.find("bob")
    await tailnet.close()


async def test_names_are_checked_and_unique() -> None:
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    users = UserService(tailnet)
    await users.create("alice", actor=ACTOR)
    await users.create("bob", actor=ACTOR)
    with pytest.raises(ConflictError):
        await users.create("alice", actor=ACTOR)
    with pytest.raises(ConflictError):
        await users.rename(2, "alice", actor=ACTOR)
    with pytest.raises(InvalidError):
        await users.create("a/b", actor=ACTOR)
    assert (await users.rename(2, "bob", actor=ACTOR)).name == "bob"
    await tailnet.close()
