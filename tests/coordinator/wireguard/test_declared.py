"""Declarations: every mistake at once, each with its line and column."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from acl.problems import PolicyError
from coordinator.wireguard.declared import Declaration, read_declaration
from tests.support.wireguard_records import public_key

GOOD = f"""\
gateways:
  - name: gw
    host: vpn.example.com
    pools: [10.90.0.0/24]
    teamPools: {{"group:ops": [10.91.0.0/24]}}
    listenPort: 51820
    masquerade: false
peers:
  - name: printer
    publicKey: {public_key(1)}
    gateway: gw
    service: printer
    until: 2026-12-31T12:00:00Z
    reason: cannot ask
"""


def test_a_file() -> None:
    found = read_declaration(GOOD)
    (gateway,), (peer,) = found.gateways, found.peers
    assert gateway.fields["teamPools"] == {"group:ops": ["10.91.0.0/24"]}
    assert gateway.fields["masquerade"] is False
    assert peer.name == "printer"
    assert peer.fields["until"] == datetime(2026, 12, 31, 12, tzinfo=UTC)
    assert str(peer.span) == "line 9, column 5"
    assert read_declaration("gateways: []") == read_declaration("gateways:\npeers: []") == Declaration()


def test_all_mistakes_with_their_places() -> None:
    text = f"""\
gateway: []
profiles: 7
gateways:
  - name: gw
    host: [a]
    listnPort: 5
  - name: x
peers:
  - name: a
    publicKey: {public_key(1)}
    gateway: gw
    until: soon
  - name: b
    publicKey: {public_key(2)}
    gateway: gw
  - name: b
    publicKey: {public_key(2)}
    gateway: gw
  - 7
"""
    with pytest.raises(PolicyError) as caught:
        read_declaration(text)
    assert str(caught.value).splitlines() == [
        "line 1, column 1: unknown key `gateway` (did you mean `gateways`?)",
        "line 2, column 11: `profiles` must be a mapping of names to profiles",
        "line 5, column 11: `host` must be text",
        "line 6, column 5: unknown key `listnPort` in `gateways` (did you mean `listenPort`?)",
        "line 7, column 5: an item of `gateways` needs `host`",
        "line 12, column 12: `until` must be a time such as 2026-01-31T12:00:00Z",
        "line 19, column 5: an item of `peers` must be a mapping of keys to values",
        "line 16, column 5: name `b` is declared twice, first in line 13, column 5",
        f"line 16, column 5: publicKey `{public_key(2)}` is declared twice, first in line 13, column 5",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "[", "a: b: c", "- 1", "7", "gateways: 7", "gateways: {}", "? [a]\n: 1", "\0",
     "[" * 5000, "a: 1\na: 2", "gateways: [{name: !!python/object:os.system x, host: y}]",
     "gateways: &a [*a]", "peers: [{name: a, publicKey: b, gateway: c, until: 0001-01-01T00:00:00+14:00}]",
     "x" * 5_000_000],
)  # fmt: skip
def test_what_is_no_declaration(text: str) -> None:
    with pytest.raises(PolicyError):
        read_declaration(text)
