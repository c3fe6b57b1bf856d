"""Packet rules as text for `nft -f`: a whole table, or the difference between two. Pure.

The table `inet coordinator_gateway` belongs to this program alone and touches nothing but packets from and
to its interfaces. Maps lead from a device's address to a chain with what it may; devices with the same
rules share the chain. So a packet costs the same with one peer and with thousands, and a peer more or less
is a few entries of maps. What no map knows is dropped.

Connections are judged packet by packet, by `rules` for those a device begins and by `inbound` for those to
it; only packets in the other direction of a connection pass as answers. So a rule that is taken away ends
what it allowed at once.

An entry of a map carries the end of its window as a timeout: should this program be dead then, the kernel
closes it. The named counters live as long as their device and keep their values, also when the table is
made anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from coordinator.gateway.initiation import INITIATION_BYTES, MESSAGE_TYPE
from coordinator.gateway.packets import UDP_BYTES
from coordinator.gateway.target import Device, Target, is_host
from coordinator.wireguard.wire import Rule

TABLE = "inet coordinator_gateway"

KNOCK_GROUP = 51820
"""Of the kernel's packet log; one program in a network namespace can listen to it."""
KNOCK_BYTES = 256
"""How much of a packet is copied: an IPv4 header of 60 bytes at most, UDP's 8, and the initiation's 148."""

GRACE = timedelta(seconds=3)
"""How much later than this program the kernel closes: an entry must not vanish while it is being deleted."""
_LONGEST_TIMEOUT = timedelta(days=3650)

_COUNTERS = ("received", "sent", "refused")
_UNKNOWN = "unknown_dropped"
_DIRECTIONS = ("from", "to")
# Ending of the maps' names, type of their keys, flags. Single addresses are found faster than ranges.
_FAMILIES = (
    ("4", "ipv4_addr", ""),
    ("6", "ipv6_addr", ""),
    ("_nets4", "ipv4_addr", "interval, "),
    ("_nets6", "ipv6_addr", "interval, "),
)
# Looking at one costs this program some microseconds; what knows the gateway's key is limited again there.
_KNOCKS_PER_SECOND, _KNOCKS_AT_ONCE = 1000, 200
_NOT_IN_A_COMMENT = re.compile(r"[^A-Za-z0-9 ._@:+-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table is made of."""

    interfaces: tuple[str, ...] = ()
    devices: Mapping[str, Device] = field(default_factory=dict)
    masquerade: bool = True
    unmasked: tuple[str, ...] = ()
    knock_ports: tuple[int, ...] = ()
    """UDP ports to which handshake initiations are copied to this program; none: nobody listens."""


Counters = Mapping[str, tuple[int, int]]
"""(packets, bytes) by the name of a counter."""


def table_of(target: Target, knock_ports: tuple[int, ...] = ()) -> Table:
    """The part of a target that is packet rules, and where knocks are listened for."""
    return Table(
        interfaces=tuple(interface.name for interface in target.interfaces),
        devices=target.devices,
        masquerade=target.masquerade,
        unmasked=target.unmasked,
        knock_ports=knock_ports,
    )


def refused(counters: Counters, ident: str) -> int:
    """Packets of or to a device that were dropped."""
    return counters.get(f"refused_{ident}", (0, 0))[0]


def whole(table: Table, counters: Counters, now: datetime) -> str:
    """A transaction after which the table is exactly this, whatever it was.

    Args:
        table: wanted.
        counters: values the named counters go on from.
        now: the latest the server's time can be; timeouts count from it.
    """
    lines = [f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}"]
    lines += _frame(table, counters)
    for device in table.devices.values():
        lines += _device_counters(device, counters)
    for name, (direction, rules) in _chains(table).items():
        lines += _rule_chain(name, direction, rules)
    lines += _elements("add", table.devices.values(), now)
    return "\n".join(lines) + "\n"


def changes(old: Table, new: Table, now: datetime) -> str:
    """A transaction that turns one into the other; empty when they are the same."""
    lines: list[str] = []
    if old.interfaces != new.interfaces:
        lines.append(f"flush set {TABLE} interfaces")
        lines += _interfaces(new)
    if (old.masquerade, old.unmasked) != (new.masquerade, new.unmasked):
        lines.append(f"flush chain {TABLE} masquerading")
        lines += _masquerade(new)
    if old.knock_ports != new.knock_ports:
        lines.append(f"flush chain {TABLE} knocks")
        lines += knock_rules(TABLE, new.knock_ports)
    gone = [device for ident, device in old.devices.items() if ident not in new.devices]
    fresh = [device for ident, device in new.devices.items() if ident not in old.devices]
    altered = [
        (before, device)
        for ident, device in new.devices.items()
        if (before := old.devices.get(ident)) is not None and _entry(before) != _entry(device)
    ]
    if not (gone or fresh or altered):
        return "\n".join(lines) + "\n" if lines else ""
    had, wanted = _chains(old), _chains(new)
    lines += _elements("delete", [*gone, *(before for before, _ in altered)], now)
    lines += [f"delete counter {TABLE} {name}_{device.ident}" for device in gone for name in _COUNTERS]
    lines += [f"delete chain {TABLE} {name}" for name in had if name not in wanted]
    for device in fresh:
        lines += _device_counters(device, {})
    for name, (direction, rules) in wanted.items():
        if name not in had:
            lines += _rule_chain(name, direction, rules)
    lines += _elements("add", [*fresh, *(after for _, after in altered)], now)
    return "\n".join(lines) + "\n"


def _entry(device: Device) -> tuple[object, ...]:
    return device.networks, device.rules, device.inbound, device.until


def _chains(table: Table) -> dict[str, tuple[str, tuple[Rule, ...]]]:
    """(direction, rules) by the name of the chain."""
    chains = {}
    for device in table.devices.values():
        for direction, rules in (("from", device.rules), ("to", device.inbound)):
            chains[_chain_name(direction, rules)] = (direction, rules)
    return chains


@lru_cache(maxsize=4096)
def _chain_name(direction: str, rules: tuple[Rule, ...]) -> str:
    return f"{direction}_{hashlib.sha256(msgspec.json.encode(rules)).hexdigest()[:16]}"


def _frame(table: Table, counters: Counters) -> Iterator[str]:
    """Everything that is not of one device or one set of rules."""
    yield f"add set {TABLE} interfaces {{ type ifname; }}"
    yield from _interfaces(table)
    yield _counter(_UNKNOWN, counters, "")
    for family, kind, flags in _FAMILIES:
        for name in _COUNTERS:
            interval = " flags interval;" if flags else ""
            yield f"add map {TABLE} {name}{family} {{ type {kind} : counter;{interval} }}"
        for name in _DIRECTIONS:
            yield f"add map {TABLE} {name}{family} {{ type {kind} : verdict; flags {flags}timeout; }}"
    for direction, counter, address in (("from", "received", "saddr"), ("to", "sent", "daddr")):
        yield f"add chain {TABLE} {direction}_refused"
        yield from _counted(f"{direction}_refused", "refused", address)
        yield f"add rule {TABLE} {direction}_refused drop"
        yield f"add chain {TABLE} {direction}_peers"
        yield from _counted(f"{direction}_peers", counter, address)
        for family, _, _ in _FAMILIES:
            yield f"add rule {TABLE} {direction}_peers {_field(family, address)} vmap @{direction}{family}"
        yield f'add rule {TABLE} {direction}_peers counter name "{_UNKNOWN}" drop'
    # Forwarding has two chains, one after the other: between two peers both have to agree.
    for chain, hook, priority, matches in (
        ("forward_from", "forward", "filter", "iifname @interfaces goto from_peers"),
        ("forward_to", "forward", "filter + 1", "oifname @interfaces goto to_peers"),
        ("input_from", "input", "filter", "iifname @interfaces goto from_peers"),
        ("output_to", "output", "filter", "oifname @interfaces goto to_peers"),
    ):
        hooked = f"type filter hook {hook} priority {priority}; policy accept;"
        yield f"add chain {TABLE} {chain} {{ {hooked} }}"
        yield f"add rule {TABLE} {chain} {matches}"
    yield f"add chain {TABLE} knocks {{ type filter hook input priority filter; policy accept; }}"
    yield from knock_rules(TABLE, table.knock_ports)
    # The networks behind have larger packets than a tunnel; not everywhere ICMP says so.
    yield f"add chain {TABLE} segment_size {{ type filter hook forward priority mangle; policy accept; }}"
    yield (
        f"add rule {TABLE} segment_size oifname @interfaces tcp flags & (syn | rst) == syn "
        "tcp option maxseg size set rt mtu"
    )
    yield f"add chain {TABLE} masquerading {{ type nat hook postrouting priority srcnat; policy accept; }}"
    yield from _masquerade(table)


def knock_rules(table: str, ports: tuple[int, ...]) -> list[str]:
    """Copies WireGuard's handshake initiations, told by length and first word, to whoever listens."""
    if not ports:
        return []
    length = UDP_BYTES + INITIATION_BYTES
    kind = int.from_bytes(MESSAGE_TYPE)
    return [
        f"add rule {table} knocks udp dport {_set([str(port) for port in ports])} udp length {length} "
        f"@th,{UDP_BYTES * 8},32 {kind:#x} limit rate {_KNOCKS_PER_SECOND}/second "
        f"burst {_KNOCKS_AT_ONCE} packets log group {KNOCK_GROUP} snaplen {KNOCK_BYTES}"
    ]


def _counted(chain: str, counter: str, address: str) -> Iterator[str]:
    for family, _, _ in _FAMILIES:
        yield f"add rule {TABLE} {chain} counter name {_field(family, address)} map @{counter}{family}"


def _field(family: str, address: str) -> str:
    return f"{'ip6' if family.endswith('6') else 'ip'} {address}"


def _interfaces(table: Table) -> list[str]:
    if not table.interfaces:
        return []
    names = ", ".join(f'"{name}"' for name in table.interfaces)
    return [f"add element {TABLE} interfaces {{ {names} }}"]


def _masquerade(table: Table) -> list[str]:
    if not table.masquerade:
        return []
    lines = [
        f"add rule {TABLE} masquerading {'ip6' if ':' in network else 'ip'} daddr {network} accept"
        for network in table.unmasked
    ]
    return [*lines, f"add rule {TABLE} masquerading iifname @interfaces oifname != @interfaces masquerade"]


def _device_counters(device: Device, counters: Counters) -> Iterator[str]:
    comment = _NOT_IN_A_COMMENT.sub("?", device.name)[:60]
    for name in _COUNTERS:
        yield _counter(f"{name}_{device.ident}", counters, comment)


def _counter(name: str, counters: Counters, comment: str) -> str:
    packets, size = counters.get(name, (0, 0))
    values = f"packets {packets} bytes {size}"
    remark = f'comment "{comment}"; ' if comment else ""
    return f"add counter {TABLE} {name} {{ {remark}{values} }}"


def _rule_chain(name: str, direction: str, rules: tuple[Rule, ...]) -> Iterator[str]:
    yield f"add chain {TABLE} {name}"
    yield f"add rule {TABLE} {name} ct state established ct direction reply accept"
    # Errors about a connection come in both directions: "packet too big", "port unreachable".
    yield f"add rule {TABLE} {name} ct state related meta l4proto {{ icmp, ipv6-icmp }} accept"
    for rule in rules:
        for match in _matches(rule, "daddr" if direction == "from" else "saddr"):
            yield f"add rule {TABLE} {name} {match} accept"
    yield f"add rule {TABLE} {name} goto {direction}_refused"


def _matches(rule: Rule, address: str) -> Iterator[str]:
    """One match for each family the rule's networks are of."""
    for family, protocol in ((":", "ip6"), (".", "ip")):
        networks = [network for network in rule.networks if family in network]
        if networks:
            service = _service(rule, "ipv6-icmp" if protocol == "ip6" else "icmp")
            yield f"{protocol} {address} {_set(networks)}{service}"


def _service(rule: Rule, icmp: str) -> str:
    if rule.proto == "icmp":
        return f" meta l4proto {icmp}"
    if not rule.ports:
        return "" if rule.proto == "any" else f" meta l4proto {rule.proto}"
    ports = _set([str(first) if first == last else f"{first}-{last}" for first, last in rule.ports])
    if rule.proto == "any":
        return f" meta l4proto {{ tcp, udp }} th dport {ports}"
    return f" {rule.proto} dport {ports}"


def _set(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{{ {', '.join(items)} }}"


def _elements(verb: str, devices: Iterable[Device], now: datetime) -> Iterator[str]:
    """One statement for each map, however many devices."""
    listed: dict[str, list[str]] = {}
    for device in devices:
        timeout = _timeout(device, now) if verb == "add" else ""
        chains = {"from": _chain_name("from", device.rules), "to": _chain_name("to", device.inbound)}
        for network in device.networks:
            host = is_host(network)
            family = f"{'' if host else '_nets'}{6 if ':' in network else 4}"
            key = network.partition("/")[0] if host else network
            for name in _COUNTERS:
                listed.setdefault(name + family, []).append(f'{key} : "{name}_{device.ident}"')
            for name, chain in chains.items():
                listed.setdefault(name + family, []).append(f"{key}{timeout} : goto {chain}")
    for name, elements in listed.items():
        yield f"{verb} element {TABLE} {name} {{ {', '.join(elements)} }}"


def _timeout(device: Device, now: datetime) -> str:
    if device.until is None or (left := device.until - now + GRACE) > _LONGEST_TIMEOUT:
        return ""
    return f" timeout {max(1, round(left.total_seconds()))}s"
