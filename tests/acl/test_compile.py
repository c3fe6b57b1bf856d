"""From the document to rule templates: order, ports, companions, scopes."""

from __future__ import annotations

from typing import Any

from acl.compile import RuleKind, RuleTemplate, Scope, compile_rules
from acl.ports import PortRange
from tests.acl.tailnets import policy


def templates(**sections: Any) -> list[RuleTemplate]:
    return list(compile_rules(policy(**sections)))


def accept(src: list[str], dst: list[str], **more: Any) -> dict[str, Any]:
    return {"action": "accept", "src": src, "dst": dst, **more}


def test_the_default_is_everything_and_an_empty_list_is_nothing() -> None:
    assert len(compile_rules(None)) == len(templates()) == 1
    assert templates(grants=[]) == templates(acls=[]) == []


def test_grants_come_before_acls() -> None:
    found = templates(acls=[accept(["*"], ["*:1"])], grants=[{"src": ["*"], "dst": ["*"], "ip": ["2"]}])
    assert [t.origin.section for t in found] == ["grants", "acls"]
    assert [t.ordinal for t in found] == [0, 1]


def test_acl_destinations_collect_ports_and_sort_by_kind() -> None:
    dst = [
        "autogroup:member:1",
        "10.0.0.1:2",
        "tag:server:3",
        "group:g:4",
        "a@b.c:5",
        "*:6",
        "tag:server:7-8",
    ]
    (found,) = templates(acls=[accept(["*"], dst)], groups={"group:g": []})
    assert [t.text for t in found.targets] == [
        "*",
        "a@b.c",
        "group:g",
        "tag:server",
        "10.0.0.1",
        "autogroup:member",
    ]
    assert found.targets[3].ports == (PortRange(3, 3), PortRange(7, 8))


def test_self_stands_between_other_autogroups() -> None:
    dst = ["autogroup:internet:1", "autogroup:self:2", "autogroup:member:3", "tag:db:4"]
    found = templates(acls=[accept(["autogroup:member"], dst)])
    assert [(t.scope, [x.text for x in t.targets]) for t in found] == [
        (Scope.GLOBAL, ["tag:db", "autogroup:internet"]),
        (Scope.SELF, ["autogroup:self"]),
        (Scope.GLOBAL, ["autogroup:member"]),
    ]


def test_grant_entries_group_by_protocol_in_order() -> None:
    ip = ["tcp:80", "443", "udp:53", "tcp:22", "*"]
    found = templates(grants=[{"src": ["*"], "dst": ["*"], "ip": ip}])
    assert [(t.protocols, t.targets[0].ports) for t in found] == [
        ((6,), (PortRange(80, 80), PortRange(22, 22))),
        ((), (PortRange(443, 443), PortRange(0, 65535))),
        ((17,), (PortRange(53, 53),)),
    ]


def test_companions_point_back() -> None:
    app: dict[str, Any] = {"tailscale.com/cap/relay": [{}], "e.com/a": [], "tailscale.com/cap/drive": [{}]}
    found = templates(grants=[{"src": ["tag:client"], "dst": ["tag:server"], "app": app}])
    assert [t.kind for t in found] == [RuleKind.CAPABILITY] * 3
    assert found[0].cap_map == (
        ("tailscale.com/cap/relay", ("{}",)),
        ("e.com/a", ()),
        ("tailscale.com/cap/drive", ("{}",)),
    )
    assert [t.cap_map[0][0].rpartition("/")[2] for t in found[1:]] == ["drive-sharer", "relay-target"]
    assert found[1].source.identities == ("tag:server",)
    assert found[1].targets[0].spec.identities == ("tag:client",)


def test_empty_sides_of_a_grant_emit_nothing() -> None:
    assert (
        templates(grants=[{"src": [], "dst": ["*"], "ip": ["*"]}, {"src": ["*"], "dst": [], "ip": ["*"]}])
        == []
    )


def test_via_keeps_addresses_only_and_adds_a_link() -> None:
    grant = {
        "src": ["*"],
        "dst": ["10.0.0.0/8", "tag:db"],
        "via": ["tag:router"],
        "ip": ["*"],
        "app": {"e.com/a": []},
    }
    found = templates(grants=[grant])
    assert [(t.kind, t.scope, len(t.targets)) for t in found] == [
        (RuleKind.PORTS, Scope.VIA, 1),
        (RuleKind.LINK, Scope.VIA, 1),
    ]


def test_default_postures_are_replaced_by_a_rules_own() -> None:
    postures = {"posture:a": ["node:os == 'x'"], "posture:b": ["node:os == 'y'"]}
    rules = [accept(["*"], ["*:1"]), accept(["*"], ["*:2"], srcPosture=["posture:b"])]
    found = templates(acls=rules, postures=postures, defaultSrcPosture=["posture:a"])
    assert [t.source.postures for t in found] == [("posture:a",), ("posture:b",)]


def test_hosts_and_ipsets_become_ranges() -> None:
    (found,) = templates(
        hosts={"h": "10.0.0.1"},
        ipsets={"ipset:i": ["add 10.1.0.0/24", "remove 10.1.0.0/25"]},
        acls=[accept(["h", "ipset:i"], ["*:*"])],
    )
    assert [item.text for item in found.source.ranges] == ["10.0.0.1", "10.1.0.128/25"]
