"""Node documents and patches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from coordinator.netmap.peers import DERP, ENDPOINTS, EXPIRY, PRESENCE, patch_json, patch_mask, self_json
from coordinator.tailnet.snapshot import NodeRecord
from tests.coordinator.netmap.test_builder import world_of
from tests.support.builders import NOW, machine_key, make_node


def test_a_node_sees_its_own_machine_key_and_capabilities() -> None:
    world = world_of(make_node(1))
    record = world.snapshot.records[0]
    told = json.loads(self_json(world.config, record, world.policy.self_view(record.node.id)))
    assert told["Machine"] == machine_key(1)
    assert told["Addresses"] == ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]
    assert told["AllowedIPs"] == told["Addresses"]
    assert told["MachineAuthorized"] is True


@pytest.mark.parametrize(
    ("mask", "patch"),
    [
        (ENDPOINTS, {"Endpoints": []}),
        (DERP, {"DERPRegion": 900}),
        (PRESENCE, {"Online": False, "LastSeen": "2026-06-01T12:00:00Z"}),
        (EXPIRY, {"KeyExpiry": "2026-06-01T12:00:00Z"}),
    ],
)
def test_patches_say_one_thing(mask: int, patch: dict[str, object]) -> None:
    node = make_node(7, home_derp=900, last_seen=NOW, expiry=NOW)
    assert json.loads(patch_json(NodeRecord(node=node, index=0), mask)) == {"NodeID": 7, **patch}


def test_only_what_is_newer_is_patched() -> None:
    record = replace(NodeRecord(node=make_node(1), index=0), endpoints_seq=5, derp_seq=7)
    assert patch_mask(record, 4) == ENDPOINTS | DERP
    assert patch_mask(record, 5) == DERP
    assert patch_mask(record, 7) == 0
