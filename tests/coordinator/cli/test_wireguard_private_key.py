"""The device's private key in its configuration."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from nacl.bindings import crypto_scalarmult_base

from coordinator.cli.output import CommandError
from coordinator.cli.wireguard_private_key import completed, private_key_of
from coordinator.wireguard.device_config import device_config, wg_quick
from tests.support.wireguard_records import make_gateway, make_peer

RAW = bytes(range(32))
PRIVATE, PUBLIC = b64encode(RAW).decode(), b64encode(crypto_scalarmult_base(RAW)).decode()
TEXT = wg_quick(device_config(make_peer(), make_gateway(), ("10.1.2.3/32",)))
CONFIG = {"public_key": PUBLIC, "wg_quick": TEXT}


def test_it_stands_where_the_comment_was(tmp_path: Path) -> None:
    file = tmp_path / "phone.key"
    file.write_text(f"{PRIVATE}\n")
    assert completed(CONFIG, private_key_of(None, PUBLIC)) == TEXT
    text = completed(CONFIG, private_key_of(file, PUBLIC))
    assert f"\nPrivateKey = {PRIVATE}\nAddress = " in text
    assert "# PrivateKey" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b64encode(bytes(range(1, 33))), "is not that of"),
        (b"short", "no private key"),
        (b"", "no private key"),
        (b"\xff", "no private key"),
        (b64encode(bytes(31)), "no private key"),
    ],
)
def test_what_is_no_key_of_the_device(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "phone.key"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        private_key_of(file, PUBLIC)
    with pytest.raises(CommandError, match="cannot read"):
        private_key_of(tmp_path / "none", PUBLIC)
