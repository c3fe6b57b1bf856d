"""The bytes before HTTP/2."""

from __future__ import annotations

import json

from coordinator.noise.early_payload import early_payload


def test_layout() -> None:
    payload = early_payload(bytes(range(32)))
    # magic | u32 length, big-endian | JSON
    assert payload[:5] == bytes.fromhex("ff ff ff 54 53")
    assert int.from_bytes(payload[5:9], "big") == len(payload) - 9
    assert json.loads(payload[9:]) == {"nodeKeyChallenge": "chalpub:" + bytes(range(32)).hex()}


def test_cannot_be_taken_for_http2() -> None:
    # The first HTTP/2 frame is SETTINGS: u24 length, type 4. The magic would be a frame of 16 MiB.
    assert int.from_bytes(early_payload(bytes(32))[:3], "big") > 16384
