"""Warnings of a key's expiry."""

from __future__ import annotations

import json
from datetime import timedelta

from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import next_message
from coordinator.netmap.notices import expiry_notice
from coordinator.services.publisher import Publisher
from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import NOW, make_node
from tests.support.tailnets import decode_message

SOON = NOW + timedelta(hours=2)


def member(version: int, soon: bool) -> dict[str, object]:
    node = make_node(1, expiry=SOON, cap_version=version)
    found: dict[str, object] = json.loads(b"{" + expiry_notice(node, soon=soon) + b"}")
    return found


def test_newer_clients_show_a_message_and_older_ones_a_line() -> None:
    shown = member(142, True)["DisplayMessages"]["key-expiry"]  # type: ignore[index]
    assert "2026-06-01 14:00 UTC" in shown["Text"]
    assert shown["Severity"] == "medium"
    assert member(142, False) == {"DisplayMessages": {"key-expiry": None}}
    (line,) = member(113, True)["Health"]  # type: ignore[misc]
    assert "--force-reauth" in line
    assert member(113, False) == {"Health": []}


def test_a_warning_comes_once_and_goes_with_a_later_expiry() -> None:
    node, other = make_node(1, expiry=SOON), make_node(2)
    world = world_of(node, other)
    publisher = Publisher(world, associated_domains=None, auto_updates=False)
    _, state = full_map(world, world.snapshot.records[0], pinning=True, now=NOW)
    _, bystander = full_map(world, world.snapshot.records[1], pinning=True, now=NOW)
    assert publisher.warn([node.id]) == 1
    document, state = next_message(world, state)
    assert document is not None
    assert "key-expiry" in decode_message(document)["DisplayMessages"]
    assert next_message(world, bystander)[0] is None
    again = b"".join(full_map(world, world.snapshot.records[0], pinning=True, now=NOW)[0])
    assert b"DisplayMessages" in decode_message_raw(again)
    publisher.update([make_node(1, expiry=NOW + timedelta(days=90))])
    document, state = next_message(world, state)
    assert document is not None
    assert decode_message(document)["DisplayMessages"] == {"key-expiry": None}
    assert next_message(world, state)[0] is None


def decode_message_raw(frames: bytes) -> bytes:
    """The text of joined zstd frames."""
    return json.dumps(decode_message(len(frames).to_bytes(4, "little") + frames)).encode()
