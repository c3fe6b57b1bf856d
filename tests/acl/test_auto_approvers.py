"""Automatic approval of routes."""

from __future__ import annotations

from tests.acl.tailnets import index, node, policy

IDX = index(
    policy(
        groups={"group:net": ["bob@example.com"]},
        autoApprovers={
            "routes": {
                "0.0.0.0/0": ["tag:router"],
                "10.1.0.0/16": ["group:net"],
                "fd00::/8": ["autogroup:members"],
            },
            "exitNode": ["tag:exit"],
        },
    )
)
EXIT = ["0.0.0.0/0", "::/0"]


def test_a_wider_key_approves_subnets_but_never_exit_routes() -> None:
    assert IDX.auto_approved(node(1, "tag:router"), ["192.168.0.0/24", *EXIT]) == ("192.168.0.0/24",)
    assert IDX.auto_approved(node(1, "tag:exit"), ["192.168.0.0/24", *EXIT]) == tuple(EXIT)


def test_narrower_and_overlapping_keys_approve_nothing() -> None:
    assert IDX.auto_approved(node(1, 2), ["10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8"]) == (
        "10.1.0.0/16",
        "10.1.2.0/24",
    )


def test_a_tagged_node_is_not_its_users() -> None:
    assert IDX.auto_approved(node(1, "tag:db", user_id=2), ["10.1.0.0/16"]) == ()
    assert IDX.auto_approved(node(1, 3), ["fd00:1::/64", "nonsense"]) == ("fd00:1::/64",)


def test_without_policy_nothing_is_approved() -> None:
    assert index(None).auto_approved(node(1, 1), ["10.0.0.0/8", *EXIT]) == ()
