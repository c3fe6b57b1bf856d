"""What entries say of nodes."""

from __future__ import annotations

from coordinator.services.node_changes import MAX_NAME, node_summary, record_hostinfo_change
from coordinator.services.nodes import NodeService
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.state import TailnetState
from tests.support.builders import NOW, make_node, make_user
from tests.support.tailnets import make_tailnet

POLICY = """{"autoApprovers": {"routes": {"10.0.0.0/8": ["user1@"]}},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"""


async def test_a_new_host_name_and_its_routes_are_two_entries() -> None:
    user, node = make_user(1), make_node(1)
    tailnet, store, _ = make_tailnet(
        TailnetState(users={user.id: user}, nodes={node.id: node}), policy=POLICY
    )
    tailnet.start()
    tailnet.update_volatile(node.id, hostinfo={"Hostname": "fresh", "RoutableIPs": ["10.1.0.0/16"]})
    await NodeService(tailnet).hostinfo_changed(node.id)
    await tailnet.close()
    renamed, approved = store.commits[0].audit
    assert (renamed.action, str(renamed.actor), renamed.after["given_name"]) == (
        "node.rename",
        "node:1",
        "fresh",
    )
    assert (approved.action, str(approved.actor)) == ("route.approve", "system:autoApprovers")
    assert (approved.before, approved.after) == ({"routes": []}, {"routes": ["10.1.0.0/16"]})


def test_nothing_durable_is_nothing_to_record() -> None:
    directory = Directory(TailnetState())
    record_hostinfo_change(directory, NOW, make_node(1), make_node(1))
    assert directory.pending().audit == []


def test_what_a_client_calls_itself_is_cut() -> None:
    assert len(node_summary(make_node(1, hostname="x" * 9000))["hostname"]) == MAX_NAME
