"""The writer's view: indexes, ids, undo."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.tailnet.actors import Actor
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.nodes import NodeID
from coordinator.tailnet.state import StoredPolicy, TailnetState
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW, make_key, make_node, make_user, node_key

ACTOR = Actor(kind="system", name="test")


def fingerprint(directory: Directory) -> object:
    """Everything observable."""
    parts = [
        sorted(vars(directory)[name].items(), key=repr)
        for name in (
            "_users",
            "_nodes",
            "_keys",
            "_counters",
            "_identities",
            "_declared",
            "_by_node_key",
            "_by_name",
            "_by_address",
            "_key_by_prefix",
        )
    ]
    machines = sorted((key, sorted(ids)) for key, ids in vars(directory)["_by_machine"].items())
    changes = {
        name: sorted(value, key=repr) if isinstance(value, set | list) else sorted(value.items(), key=repr)
        for name, value in asdict(directory.pending()).items()
    }
    return parts, machines, directory.policy, changes


def test_lookups_follow_changes() -> None:
    directory = Directory(TailnetState())
    directory.put_node(make_node(1))
    directory.put_node(make_node(1, node_key=node_key(9), given_name="new"))
    assert directory.node_by_key(node_key(1)) is None
    assert directory.node_by_key(node_key(9)) is not None
    assert directory.name_taken("new")
    assert not directory.name_taken("node1")
    directory.delete_node(NodeID(1))
    assert not directory.name_taken("new")
    assert directory.nodes_of_machine(make_node(1).machine_key) == []


def test_ids_are_never_given_twice() -> None:
    directory = Directory(TailnetState(counters={"nodes": 5}))
    assert directory.next_id("nodes") == 6
    assert directory.next_id("nodes") == 7
    assert directory.pending().counters == {"nodes": 7}


def test_a_deletion_cancels_a_put_of_the_same_batch() -> None:
    directory = Directory(TailnetState())
    directory.put_node(make_node(1))
    directory.delete_node(NodeID(1))
    assert directory.pending().put_nodes == {}
    assert directory.pending().delete_nodes == {1}


def test_unknown_things_are_not_found() -> None:
    directory = Directory(TailnetState())
    with pytest.raises(NotFoundError, match="node 4"):
        directory.node(NodeID(4))
    with pytest.raises(NotFoundError):
        directory.delete_preauth_key(1)


OPERATIONS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4), st.integers(1, 4)), max_size=12)


def run(directory: Directory, operations: list[tuple[int, int, int]]) -> None:
    for kind, number, other in operations:
        try:
            match kind:
                case 0:
                    directory.put_node(make_node(number))
                case 1:
                    directory.put_node(make_node(number, node_key=node_key(number + 100 * other)))
                case 2:
                    directory.delete_node(NodeID(number))
                case 3:
                    directory.put_user(make_user(number, name=f"name{other}"))
                case 4:
                    directory.delete_user(make_user(number).id)
                case 5:
                    directory.put_preauth_key(make_key(number)[0])
                case 6:
                    directory.delete_preauth_key(number)
                case 7:
                    directory.put_policy(StoredPolicy(id=number, text="{}", created_at=NOW))
                case 8:
                    directory.audit(NOW, ACTOR, "x", "y")
                case 9:
                    directory.put_identity(
                        LinkedIdentity(id=f"https://i/{number}", user_id=UserID(other), linked_at=NOW)
                    )
                case 10 if directory.identity(f"https://i/{number}") is not None:
                    directory.delete_identity(f"https://i/{number}")
                case 11:
                    directory.put_declared(
                        DeclaredProfile(name=str(number), body=str(other), declared_by="x", since=NOW)
                    )
                case 12 if str(number) in directory.declared_profiles():
                    directory.delete_declared(str(number))
        except NotFoundError:
            continue


@settings(max_examples=150)
@given(OPERATIONS, OPERATIONS)
def test_rollback_restores_everything(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    directory = Directory(TailnetState())
    run(directory, first)
    before = fingerprint(directory)
    mark = directory.mark()
    run(directory, second)
    directory.rollback(mark)
    assert fingerprint(directory) == before
