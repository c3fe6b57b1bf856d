"""Windows over a compiled policy: they answer as rules written into the policy would, and leave no trace."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import acl
from acl.document import SshEntry, Word
from tests.acl.tailnets import FACTS, index, names, node, policy
from tests.acl.test_index import COUNT, USER_SETS, answers, nodes

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
MGMT: dict[str, Any] = {"src": ["alice@"], "dst": ["tag:server:22"]}
SELF_RULE = {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}
BASES: list[dict[str, Any]] = [
    {"acls": []},
    {},
    {
        "acls": [
            SELF_RULE,
            {"action": "accept", "src": ["alice@"], "dst": ["tag:server:443", "10.0.0.0/16:1"]},
            {"action": "accept", "src": ["tag:client"], "dst": ["*:7"]},
            {"action": "accept", "src": ["*"], "dst": ["tag:db:5"]},
        ],
        "grants": [
            {"src": ["bob@"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:router"]},
            {"src": ["tag:db"], "dst": ["autogroup:internet"], "ip": ["*"]},
        ],
    },
    {
        "acls": [
            {"action": "accept", "src": ["100.64.0.2"], "dst": ["tag:server:22"]},
            {"action": "accept", "src": ["group:dev"], "dst": ["tag:db:5"]},
        ],
        "groups": {"group:dev": ["alice@", "carol@"]},
        "ssh": [{"action": "accept", "src": ["alice@"], "dst": ["tag:server"], "users": ["root"]}],
        "nodeAttrs": [{"target": ["bob@"], "attr": ["disable-ipv4"]}],
    },
    {"acls": [], "defaultSrcPosture": ["posture:mac"]},
]
PROFILES: dict[str, dict[str, Any]] = {
    "nodes": {"dst": ["tag:server:22", "bob@example.com:80", "group:ops:1"]},
    "net": {"dst": ["10.0.0.0/24:22,443", "box:1"], "proto": "tcp"},
    "via": {"dst": ["10.0.0.0/16:9", "tag:db:9", "box:2"], "via": ["tag:router"]},
    "all": {"dst": ["*:3"]},
    "exit": {"dst": ["autogroup:internet:*"]},
    "posture": {"dst": ["tag:db:22"], "srcPosture": ["posture:mac"], "ssh": {"users": ["root"]}},
    "login": {"dst": ["tag:server:22", "100.64.0.4:22"], "ssh": {"users": ["root", "autogroup:nonroot"]}},
}
EDITED = {**PROFILES, "nodes": {"dst": ["tag:server:443"]}, "net": {"dst": ["10.1.0.0/16:22"]}}
DIRECT = {"via": ["tag:db:9", "box:2"]}
"""What a profile with `via` reaches without a router."""
ROUTED = {"via": {"dst": ["10.0.0.0/16"], "ip": ["9"]}}
HOSTS = {
    "hosts": {"box": "100.64.0.3"},
    "postures": {"posture:mac": ["node:os == 'macos'"]},
    "groups": {"group:ops": ["carol@example.org"]},
}


def with_profiles(profiles: dict[str, dict[str, Any]], **sections: Any) -> acl.Policy:
    given = {key: value for key, value in sections.items() if value is not None}
    given["groups"] = {**HOSTS["groups"], **given.get("groups", {})}
    if profiles:
        full = {name: {**fields, "src": ["alice@"]} for name, fields in profiles.items()}
        given["access"] = {"profiles": full}
    return policy(**given)


def window(number: int, profile: str, *of_nodes: int, minutes: float = 60) -> acl.OpenWindow:
    closes = NOON + timedelta(minutes=minutes)
    return acl.OpenWindow(id=number, profile=profile, nodes=of_nodes, closes_at=closes)


POLICIES = [with_profiles(each, **{**HOSTS, **base}) for base in BASES for each in (PROFILES, EDITED)]
PLAIN = [with_profiles({}, **{**HOSTS, **base}) for base in BASES for _ in (PROFILES, EDITED)]

WINDOWS = st.lists(
    st.builds(
        lambda number, name, of_nodes, minutes: window(number, name, *sorted(of_nodes), minutes=minutes),
        st.integers(0, 8),
        st.sampled_from([*PROFILES, "gone"]),
        st.sets(st.integers(1, COUNT), max_size=3),
        st.sampled_from([60, 90]),
    ),
    max_size=4,
    unique_by=lambda each: each.id,
)
STEPS = st.lists(
    st.one_of(
        WINDOWS.map(lambda windows: ("windows", windows)),
        WINDOWS.map(lambda windows: ("windows", windows)),
        nodes().map(lambda n: ("upsert", n)),
        nodes().map(lambda n: ("upsert", n)),
        nodes().map(lambda n: ("upsert", n)),
        st.integers(1, COUNT).map(lambda i: ("remove", i)),
        st.integers(0, len(POLICIES) - 1).map(lambda i: ("policy", i)),
        st.integers(0, len(USER_SETS) - 1).map(lambda i: ("facts", i)),
    ),
    min_size=2,
    max_size=14,
)


START = [
    node(1, 1, attributes={"node:os": "macos"}),
    node(2, 2),
    node(3, "tag:server"),
    node(4, "tag:db"),
    node(5, "tag:router", approved_routes=("10.0.0.0/16", "100.64.0.0/29")),
    node(6, ("tag:exit", "tag:router"), approved_routes=("0.0.0.0/0", "::/0", "10.0.0.0/24")),
    node(7, 3, approved_routes=("10.0.0.0/16",)),
]


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, len(POLICIES) - 1), there=st.sets(st.sampled_from(range(7))), steps=STEPS)
def test_any_history_equals_a_fresh_index_and_names_everybody(
    start: int, there: set[int], steps: list[tuple[str, Any]]
) -> None:
    which, open_now, facts = start, list[acl.OpenWindow](), FACTS
    present = {START[position].id: START[position] for position in there}
    idx = acl.PolicyIndex(POLICIES[which], facts, present.values())
    before = answers(idx, present)
    for kind, what in steps:
        if kind == "windows":
            open_now = what
            named = idx.set_windows(what)
        elif kind == "upsert":
            present[what.id] = what
            named = idx.upsert(what)
        elif kind == "remove":
            present.pop(what, None)
            named = idx.remove(what)
        elif kind == "facts":
            facts = USER_SETS[what]
            named = idx.replace_facts(facts)
        else:
            which = what
            named = idx.replace_policy(POLICIES[which])
        now = answers(idx, present)
        fresh = acl.PolicyIndex(POLICIES[which], facts, present.values())
        fresh.set_windows(sorted(open_now, key=lambda each: each.id))
        assert now == answers(fresh, present)
        for index_, answer in now.items():
            if before.get(index_) != answer:
                assert named >> index_ & 1, f"{index_} changed by {kind} and was not named"
            for peer in names(answer[0]):
                assert now[peer][0] >> index_ & 1, "visibility is symmetric"
        before = now
    idx.set_windows([])
    plain = acl.PolicyIndex(PLAIN[which], facts, present.values())
    assert answers(idx, present) == answers(plain, present), "no window leaves anything behind"
    engine = idx.engine
    assert not engine.windowed and not any(text.startswith("window:") for text in engine.by_identity)


def written_out(
    base: dict[str, Any], opened: list[acl.OpenWindow], present: dict[int, acl.NodeFact]
) -> acl.Policy:
    """The windows as rules of the policy itself, with the source nodes' addresses."""
    sections: dict[str, Any] = {key: list(value) for key, value in base.items() if key in ("acls", "grants")}
    logins = []
    for each in sorted(opened, key=lambda each: each.id):
        fields = PROFILES[each.profile]
        holders = [present[number] for number in each.nodes if number in present]
        src = [str(a) for n in holders for a in (n.ipv4, n.ipv6) if a is not None]
        if not src:
            continue
        rule = {"action": "accept", "src": src, "dst": DIRECT.get(each.profile, fields["dst"])}
        rule |= {key: fields[key] for key in ("proto", "srcPosture") if key in fields}
        if "acls" in base:
            sections["acls"].append(rule)
            if "via" in fields:
                grant = {"src": src, **ROUTED[each.profile], "via": fields["via"]}
                sections["grants"] = [*sections.get("grants", []), grant]
        if "ssh" in fields:
            logins.append((each, fields, src))
    written = with_profiles({}, **{**HOSTS, **base, **sections})
    return replace(written, ssh=(*written.ssh, *(login(*each) for each in logins)))


def login(opened: acl.OpenWindow, fields: dict[str, Any], src: list[str]) -> SshEntry:
    """An `ssh` entry with addresses as sources, which no policy text may have."""
    (there,) = POLICIES[0].access_profiles[:1]

    def words(texts: list[str]) -> tuple[Word, ...]:
        return tuple(Word(text, there.span) for text in texts)

    return SshEntry(
        action=Word("accept", there.span),
        src=words(src),
        dst=words([text.rpartition(":")[0] for text in fields["dst"]]),
        users=words(fields["ssh"]["users"]),
        check_period=None,
        accept_env=(),
        recorder=(),
        enforce_recorder=False,
        src_posture=words(fields.get("srcPosture", [])),
        span=there.span,
    )


def reach(rules: tuple[acl.FilterRule, ...]) -> set[tuple[Any, ...]]:
    """Every (source, protocols, destination, ports or capability) of a filter, in no order."""
    ports = {(src, rule.ip_proto, dst) for rule in rules for src in rule.src for dst in rule.dst_ports}
    return ports | {(src, cap) for rule in rules for src in rule.src for cap in rule.cap_grants}


def logins_of(idx: acl.PolicyIndex, one: acl.NodeFact) -> list[acl.SSHRule]:
    """The SSH rules without their end; sources given address by address come in another order."""
    return [
        replace(rule, expires=None, principals=tuple(sorted(set(rule.principals))))
        for rule in idx.ssh_rules(one.id)
    ]


@settings(max_examples=250, deadline=None)
@given(
    base=st.sampled_from(BASES),
    histories=st.lists(WINDOWS, min_size=1, max_size=3),
    there=st.lists(nodes(), min_size=2, max_size=COUNT),
)
def test_a_window_is_what_the_same_rule_in_the_policy_would_be(
    base: dict[str, Any], histories: list[list[acl.OpenWindow]], there: list[acl.NodeFact]
) -> None:
    present = {n.id: n for n in there}
    idx = acl.PolicyIndex(with_profiles(PROFILES, **{**HOSTS, **base}), FACTS, present.values())
    for opened in histories:
        opened = [each for each in opened if each.profile in PROFILES]
        idx.set_windows(opened)
        oracle = acl.PolicyIndex(written_out(base, opened, present), FACTS, present.values())
        for one in present.values():
            assert idx.peers(one.id) == oracle.peers(one.id)
            assert reach(idx.filter_rules(one.id)) == reach(oracle.filter_rules(one.id))
            assert logins_of(idx, one) == logins_of(oracle, one)
            for peer in names(idx.peers(one.id)):
                assert idx.peer_view(one.id, peer) == oracle.peer_view(one.id, peer)


def two_and_a_server(**fields: Any) -> acl.PolicyIndex:
    written = with_profiles({"mgmt": {**MGMT, **fields}}, acls=[])
    return index(written, node(1, 1), node(2, 1), node(3, "tag:server"))


def test_a_window_names_its_nodes_and_not_their_users_others() -> None:
    idx = two_and_a_server()
    assert names(idx.set_windows([window(1, "mgmt", 1)])) == [1, 3]
    assert (names(idx.peers(1)), names(idx.peers(2)), names(idx.peers(3))) == ([3], [], [1])
    assert idx.filter_rules(3)[0].src == ("100.64.0.1", "fd7a:115c:a1e0::1")
    assert idx.set_windows([window(1, "mgmt", 1)]) == 0
    assert names(idx.set_windows([])) == [1, 3]
    assert (idx.peers(1), idx.peers(3), idx.filter_rules(3)) == (0, 0, ())


def test_a_node_that_comes_later_finds_its_window() -> None:
    idx = two_and_a_server()
    idx.set_windows([window(1, "mgmt", 1, 4)])
    assert names(idx.peers(3)) == [1]
    idx.upsert(node(4, 1))
    assert names(idx.peers(3)) == [1, 4]
    idx.remove(1)
    assert names(idx.peers(3)) == [4]


def test_ssh_rules_say_when_they_expire() -> None:
    idx = two_and_a_server(ssh={"users": ["root"]})
    opened = window(1, "mgmt", 1)
    idx.set_windows([opened])
    (rule,) = idx.ssh_rules(3)
    assert rule.principals == ("100.64.0.1", "fd7a:115c:a1e0::1")
    assert (rule.ssh_users, rule.expires) == ((("root", "root"),), NOON + timedelta(hours=1))
    later = replace(opened, closes_at=NOON + timedelta(hours=2))
    assert 3 in names(idx.set_windows([later]))
    assert idx.ssh_rules(3)[0].expires == later.closes_at
    idx.set_windows([])
    assert idx.ssh_rules(3) == ()


def test_logins_open_where_everything_is_allowed() -> None:
    idx = index(
        with_profiles({"mgmt": {**MGMT, "ssh": {"users": ["root"]}}}), node(1, 1), node(3, "tag:server")
    )
    filters = idx.filter_rules(3)
    assert 3 in names(idx.set_windows([window(1, "mgmt", 1)]))
    assert len(idx.ssh_rules(3)) == 1
    assert idx.filter_rules(3) == filters


def test_overlapping_windows_end_one_by_one() -> None:
    idx = two_and_a_server()
    idx.set_windows([window(1, "mgmt", 1), window(2, "mgmt", 1, 2)])
    assert names(idx.peers(3)) == [1, 2]
    idx.set_windows([window(1, "mgmt", 1)])
    assert names(idx.peers(3)) == [1]


def test_a_narrowed_profile_narrows_the_window_and_a_removed_one_ends_it() -> None:
    idx = two_and_a_server(dst=["tag:server:22,443"])
    idx.set_windows([window(1, "mgmt", 1)])
    assert len(idx.filter_rules(3)[0].dst_ports) == 4
    assert 3 in names(idx.replace_policy(with_profiles({"mgmt": MGMT}, acls=[])))
    assert {port.first for port in idx.filter_rules(3)[0].dst_ports} == {22}
    assert names(idx.replace_policy(with_profiles({"other": MGMT}, acls=[]))) == [1, 3]
    assert (idx.filter_rules(3), idx.peers(3)) == ((), 0)


def test_the_policys_own_tests_look_past_open_windows() -> None:
    checked = with_profiles(
        {"mgmt": {**MGMT, "ssh": {"users": ["root"]}}},
        acls=[],
        tests=[{"src": "alice@example.com", "deny": ["tag:server:22"]}],
        sshTests=[{"src": "alice@example.com", "dst": ["tag:server"], "deny": ["root"]}],
    )
    idx = index(checked, node(1, 1), node(3, "tag:server"))
    idx.set_windows([window(1, "mgmt", 1)])
    assert idx.check() == ()


def test_routes_come_and_go_with_the_window_directly_and_via() -> None:
    for fields in ({"dst": ["10.0.0.0/24:22"]}, {"dst": ["10.0.0.0/24:22"], "via": ["tag:router"]}):
        sees_router = {"action": "accept", "src": ["alice@"], "dst": ["tag:router:1"]}
        idx = index(
            with_profiles({"mgmt": fields}, acls=[sees_router]),
            node(1, 1),
            node(2, 1),
            node(3, "tag:router", approved_routes=("10.0.0.0/16",)),
        )
        shown = [idx.peer_view(number, 3).primary_routes for number in (1, 2)]
        assert shown == [(), ()]
        assert names(idx.set_windows([window(1, "mgmt", 1)])) == [1, 3]
        assert [idx.peer_view(number, 3).primary_routes for number in (1, 2)] == [("10.0.0.0/16",), ()]
        assert idx.filter_rules(3)[-1].dst_ports[0].ip == "10.0.0.0/24"
        assert names(idx.set_windows([])) == [1, 3]
        assert [idx.peer_view(number, 3).primary_routes for number in (1, 2)] == shown
