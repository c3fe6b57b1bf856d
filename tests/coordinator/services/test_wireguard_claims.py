"""What must be nobody else's."""

from __future__ import annotations

from base64 import b64decode

import pytest

from coordinator.services.wireguard_claims import (
    plain_wireguard_has,
    public_key,
    require_free_key,
    require_name,
)
from coordinator.tailcfg.keys import machine_key_from_bytes, node_key_from_bytes
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.state import TailnetState
from tests.support import wireguard_records as records
from tests.support.builders import make_node


def test_keys_of_peers_and_gateways() -> None:
    directory = Directory(TailnetState())
    directory.put_wireguard(records.make_gateway())
    directory.put_wireguard(records.make_peer(3))
    for name in ("gateway 1", 3):
        with pytest.raises(ConflictError, match="in use elsewhere"):
            require_free_key(directory, records.public_key(name))
    require_free_key(directory, records.public_key("free"))
    directory.put_wireguard(records.make_peer(3).ended(records.NOW, "x", "revoked"))
    require_free_key(directory, records.public_key(3))


def test_texts() -> None:
    assert public_key(f" {records.public_key(1)} ") == records.public_key(1)
    with pytest.raises(InvalidError, match="publicKey: a key is 44"):
        public_key("short")
    with pytest.raises(InvalidError, match="say the device's public key"):
        public_key("")
    assert require_name("adas-phone") == "adas-phone"
    for wrong in ("", "Ada", "a_b", "-a", "a-", "a" * 64, "ä", "7", "1-2"):
        with pytest.raises(InvalidError, match="peer name"):
            require_name(wrong)


def joined(number: int) -> Node:
    """A node whose keys are those of peers `number` and `number + 100`."""
    keys = [b64decode(records.public_key(each)) for each in (number, number + 100)]
    return make_node(
        number, node_key=node_key_from_bytes(keys[0]), machine_key=machine_key_from_bytes(keys[1])
    )


def test_keys_of_nodes_and_machines() -> None:
    directory = Directory(TailnetState())
    directory.put_node(joined(5))
    for number in (5, 105):
        with pytest.raises(ConflictError, match="in use elsewhere"):
            require_free_key(directory, records.public_key(number))
    directory.delete_node(NodeID(5))
    for number in (5, 105):
        require_free_key(directory, records.public_key(number))


def test_what_plain_wireguard_has_no_node_gets() -> None:
    directory = Directory(TailnetState())
    peer = records.rotated(records.make_peer(3), 4, records.NOW)
    directory.put_wireguard(records.make_gateway())
    directory.put_wireguard(peer)
    for name in (3, 4, "gateway 1"):
        raw = b64decode(records.public_key(name))
        assert plain_wireguard_has(directory, node_key_from_bytes(raw))
        assert plain_wireguard_has(directory, joined(8).node_key, machine_key_from_bytes(raw))
        # The same key, spelled with the bit that counts for nothing.
        assert plain_wireguard_has(directory, node_key_from_bytes(bytes([*raw[:-1], raw[-1] | 0x80])))
    assert not plain_wireguard_has(directory, joined(8).node_key, joined(8).machine_key)
    directory.put_wireguard(peer.ended(records.NOW, "x", "revoked"))
    assert not plain_wireguard_has(directory, joined(3).node_key, joined(4).node_key)
