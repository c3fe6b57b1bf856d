"""Verbs on users."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coordinator.services.nodes import NodeService
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.users import UserService
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, make_node, make_user
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


async def test_a_user_may_go_with_their_nodes_all_or_nothing() -> None:
    user, nodes = make_user(1), [make_node(1), make_node(2), make_node(3, tags=("tag:a",))]
    tailnet, store, _ = make_tailnet(
        TailnetState(users={user.id: user}, nodes={node.id: node for node in nodes})
    )
    tailnet.start()
    await UserService(tailnet).delete(1, with_nodes=True, actor=ACTOR)
    (commit,) = store.commits
    assert (commit.delete_nodes, commit.delete_users) == ({1, 2}, {1})
    assert [entry.action for entry in commit.audit] == ["node.delete", "node.delete", "user.delete"]
    assert [node.id for node in tailnet.snapshot.nodes()] == [3], "a tagged node is nobody's"
    await tailnet.close()


async def test_a_refused_deletion_says_which_nodes_are_in_the_way() -> None:
    user = make_user(1)
    nodes = {node.id: node for node in map(make_node, range(1, 13))}
    tailnet, _, _ = make_tailnet(TailnetState(users={user.id: user}, nodes=nodes))
    tailnet.start()
    with pytest.raises(
        ConflictError, match=r"owns 12 node\(s\): node1 \(id 1\), .* and 2 more; move or delete"
    ):
        await UserService(tailnet).delete(1, actor=ACTOR)
    await tailnet.close()


async def test_a_role_is_recorded_and_checked() -> None:
    tailnet, store, _ = make_tailnet(TailnetState(users={make_user(1).id: make_user(1)}))
    tailnet.start()
    users = UserService(tailnet)
    assert (await users.set_role(1, "admin", actor=ACTOR)).role == "admin"
    (entry,) = store.commits[0].audit
    assert (entry.action, entry.before, entry.after) == ("user.role", {"role": "member"}, {"role": "admin"})
    await users.set_role(1, "admin", actor=ACTOR)
    assert len(store.commits) == 1
    with pytest.raises(InvalidError, match="`king` is no role"):
        await users.set_role(1, "king", actor=ACTOR)
    with pytest.raises(NotFoundError):
        await users.set_role(9, "admin", actor=ACTOR)
    await tailnet.close()


async def test_a_suspended_user_is_shut_out_and_comes_back_by_login() -> None:
    later = NOW + timedelta(days=1)
    nodes = [
        make_node(1, expiry=later),
        make_node(2, tags=("tag:a",)),
        make_node(3, user_id=2),
        make_node(4, expiry=NOW - timedelta(days=1)),
    ]
    state = TailnetState(
        users={user.id: user for user in (make_user(1), make_user(2))},
        nodes={node.id: node for node in nodes},
    )
    tailnet, store, clock = make_tailnet(state)
    tailnet.start()
    users, verbs = UserService(tailnet), NodeService(tailnet)
    assert (await users.suspend(1, actor=ACTOR)).suspended
    assert [view.expired for view in verbs.list()] == [True, False, False, True]
    (commit,) = store.commits
    assert list(commit.put_nodes) == [1], "whoever had expired keeps that moment"
    with pytest.raises(ForbiddenError, match="`user1` is suspended"):
        await verbs.expire(1, at=later, actor=ACTOR)
    with pytest.raises(ForbiddenError):
        await verbs.expire(1, disable=True, actor=ACTOR)
    with pytest.raises(ForbiddenError):
        await verbs.extend(1, timedelta(days=1), actor=ACTOR)
    with pytest.raises(ForbiddenError):
        await PreAuthKeyService(tailnet, lambda size: b"x" * size).create(
            user_id=1, expiration=None, actor=ACTOR
        )
    clock.forward(hours=1)
    await users.suspend(1, actor=ACTOR)
    assert tailnet.snapshot.users[make_user(1).id].suspended_at == NOW, "twice is once"
    assert not (await users.restore(1, actor=ACTOR)).suspended
    assert verbs.get(1).expired, "a restored user logs in again"
    await users.restore(1, actor=ACTOR)
    assert [entry.action for each in store.commits for entry in each.audit] == [
        "user.suspend",
        "user.restore",
    ]
    assert not (await verbs.extend(1, timedelta(days=1), actor=ACTOR)).expired
    await tailnet.close()
