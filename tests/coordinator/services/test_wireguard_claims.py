"""What must be nobody else's."""

from __future__ import annotations

import pytest

from coordinator.services.wireguard_claims import public_key, require_free_key, require_name
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.state import TailnetState
from tests.support import wireguard_records as records


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
