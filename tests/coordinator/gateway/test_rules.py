"""Packet rules as text. That nft takes them, and what they do to packets, is tested in namespaces."""

from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.gateway.rules import Table, changes, refused, table_of, whole
from coordinator.gateway.target import Device, Target
from coordinator.wireguard.wire import Proto, Rule
from tests.coordinator.gateway.builders import NOW, SSH, interface

PREFIX = "inet coordinator_gateway"


def device(number: int, **fields: object) -> Device:
    """Device 10.99.0.<number>."""
    given: dict[str, object] = {
        "ident": f"{number:016x}",
        "name": f"laptop {number}",
        "networks": (f"10.99.0.{number}/32",),
        "rules": SSH,
        "inbound": (),
        "until": None,
    }
    return Device(**{**given, **fields})  # type: ignore[arg-type]


def table(*devices: Device, **fields: object) -> Table:
    """With wg0."""
    return Table(
        **{  # type: ignore[arg-type]
            "interfaces": ("wg0",),
            "devices": {each.ident: each for each in devices},
            **fields,
        }
    )


def test_equal_tables_need_no_transaction() -> None:
    assert changes(table(device(2), device(3)), table(device(3), device(2)), NOW) == ""


def test_one_device_more_is_a_few_entries() -> None:
    text = changes(table(device(2)), table(device(2), device(3)), NOW)
    assert "10.99.0.2" not in text
    assert "chain" not in text, "the rules are there already"
    assert text.count("add counter") == 3
    assert text.count("add element") == 5
    assert changes(table(device(2), device(3)), table(device(2)), NOW) == "\n".join(
        [
            *(
                f'delete element {PREFIX} {name}4 {{ 10.99.0.3 : "{name}_{3:016x}" }}'
                for name in ("received", "sent", "refused")
            ),
            *(line for line in text.replace("add", "delete").splitlines() if "goto" in line),
            *(f"delete counter {PREFIX} {name}_{3:016x}" for name in ("received", "sent", "refused")),
            "",
        ]
    )


def test_other_rules_are_another_chain_and_the_counters_stay() -> None:
    text = changes(table(device(2)), table(device(2, rules=())), NOW)
    assert "counter" not in text.replace("counter name", "")
    assert text.count("add chain") == 1
    assert text.count("delete chain") == 1
    lines = text.splitlines()
    assert lines.index(next(line for line in lines if "delete element" in line)) < lines.index(
        next(line for line in lines if "delete chain" in line)
    ), "a chain can go when nothing leads to it"


def test_entries_end_with_their_window() -> None:
    until = NOW + timedelta(minutes=1)
    assert "10.99.0.2 timeout 63s : goto from_" in whole(table(device(2, until=until)), {}, NOW)
    text = changes(table(device(2)), table(device(2, until=until)), NOW)
    assert text.count("timeout 63s") == 2
    assert "timeout" not in whole(table(device(2)), {}, NOW).replace("flags timeout", "").replace(
        "interval, timeout", ""
    )
    century = device(2, until=NOW + timedelta(days=36500))
    assert " timeout 3" not in whole(table(century), {}, NOW)


def test_the_whole_table_replaces_whatever_there_is_and_counts_on() -> None:
    counters = {f"received_{2:016x}": (5, 500), "unknown_dropped": (1, 60)}
    text = whole(table(device(2)), counters, NOW)
    assert text.startswith(f"add table {PREFIX}\ndelete table {PREFIX}\nadd table {PREFIX}\n")
    assert f'received_{2:016x} {{ comment "laptop 2"; packets 5 bytes 500 }}' in text
    assert "unknown_dropped { packets 1 bytes 60 }" in text
    assert refused({f"refused_{2:016x}": (7, 1)}, f"{2:016x}") == 7
    assert refused({}, "x") == 0


def test_interfaces_and_masquerading_change_by_themselves() -> None:
    text = changes(table(device(2)), table(device(2), interfaces=("wg0", "wg1")), NOW)
    assert text == (f'flush set {PREFIX} interfaces\nadd element {PREFIX} interfaces {{ "wg0", "wg1" }}\n')
    off = changes(table(device(2)), table(device(2), masquerade=False), NOW)
    assert off == f"flush chain {PREFIX} masquerading\n"
    assert "masquerade\n" in changes(table(masquerade=False), table(), NOW)


def test_some_networks_see_the_peers_own_addresses() -> None:
    text = changes(table(), table(unmasked=("100.64.0.0/10", "fd7a::/48")), NOW)
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if "ip daddr 100.64.0.0/10 accept" in line)
    assert "ip6 daddr fd7a::/48 accept" in lines[first + 1]
    assert lines[first + 2].endswith("masquerade"), "they are let go before"
    assert "add element" not in whole(table(interfaces=()), {}, NOW)


@pytest.mark.parametrize(
    ("proto", "ports", "match"),
    [
        ("any", (), ""),
        ("any", ((53, 53),), " meta l4proto { tcp, udp } th dport 53"),
        ("tcp", (), " meta l4proto tcp"),
        ("tcp", ((22, 22), (80, 90)), " tcp dport { 22, 80-90 }"),
        ("udp", ((53, 53),), " udp dport 53"),
        ("icmp", (), " meta l4proto icmp"),
    ],
)
def test_a_rule(proto: Proto, ports: tuple[tuple[int, int], ...], match: str) -> None:
    rule = Rule(networks=("10.0.0.0/8", "172.16.0.0/12"), proto=proto, ports=ports)
    assert f"ip daddr {{ 10.0.0.0/8, 172.16.0.0/12 }}{match} accept\n" in whole(
        table(device(2, rules=(rule,))), {}, NOW
    )
    inbound = replace(device(2), inbound=(Rule(networks=("10.0.0.1/32",), proto=proto, ports=ports),))
    assert f"ip saddr 10.0.0.1/32{match} accept\n" in whole(table(inbound), {}, NOW)


def test_both_families() -> None:
    rule = Rule(networks=("10.0.0.0/8", "fd00::/8"), proto="icmp")
    both = device(2, networks=("10.99.0.2/32", "fd00::2/128", "192.168.7.0/24"), rules=(rule,))
    text = whole(table(both), {}, NOW)
    assert "ip6 daddr fd00::/8 meta l4proto ipv6-icmp accept" in text
    assert "ip daddr 10.0.0.0/8 meta l4proto icmp accept" in text
    for element in ("from4 { 10.99.0.2 :", "to6 { fd00::2 :", "sent_nets4 { 192.168.7.0/24 :"):
        assert f"add element {PREFIX} {element}" in text


def test_a_name_stays_inside_its_comment() -> None:
    text = whole(table(device(2, name='x" }; flush ruleset #\n')), {}, NOW)
    assert 'comment "x? ?? flush ruleset ??"' in text


def test_the_rules_of_a_target() -> None:
    found = Target(interfaces=(interface(),), devices={"x": device(2)}, masquerade=False)
    assert table_of(found) == Table(interfaces=("wg0",), devices={"x": device(2)}, masquerade=False)


def test_knocks_are_listened_for_while_somebody_listens() -> None:
    deaf, hearing = table(), table(knock_ports=(51820, 51821))
    assert "log group" not in whole(deaf, {}, NOW)
    (rule,) = [line for line in whole(hearing, {}, NOW).splitlines() if "log group" in line]
    assert "knocks udp dport { 51820, 51821 } udp length 156 @th,64,32 0x1000000 limit rate" in rule
    assert changes(deaf, hearing, NOW).splitlines() == ["flush chain inet coordinator_gateway knocks", rule]
    assert changes(hearing, deaf, NOW) == "flush chain inet coordinator_gateway knocks\n"
    assert table_of(Target(), (7,)).knock_ports == (7,)
