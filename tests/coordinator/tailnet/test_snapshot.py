"""What `advance` stamps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.tailnet.snapshot import NodeRecord, advance
from tests.support.builders import NOW, disco_key, make_node, node_key

RECORD = NodeRecord(node=make_node(1, home_derp=900), index=0)
SEQS = ("full_seq", "endpoints_seq", "derp_seq", "presence_seq", "expiry_seq", "self_seq")


@pytest.mark.parametrize(
    ("changes", "stamped"),
    [
        ({"endpoints": ("192.0.2.1:1",)}, {"endpoints_seq"}),
        ({"home_derp": 901}, {"derp_seq"}),
        ({"home_derp": 0}, {"derp_seq", "full_seq"}),
        ({"online": True}, {"presence_seq"}),
        ({"expiry": NOW}, {"expiry_seq", "self_seq"}),
        ({"node_key": node_key(5)}, {"full_seq", "self_seq"}),
        ({"disco_key": disco_key(5)}, {"full_seq"}),
        ({"given_name": "x"}, {"full_seq", "self_seq"}),
        ({"tags": ("tag:a",)}, {"full_seq", "self_seq"}),
        ({"hostinfo": {"OS": "windows"}}, {"full_seq"}),
        ({"hostinfo": {"Hostname": "node1", "OS": "linux", "NetInfo": {}}}, set()),
        ({"last_seen": NOW}, set()),
    ],
)
def test_each_kind_of_change_has_its_stamp(changes: dict[str, object], stamped: set[str]) -> None:
    after = advance(RECORD, replace(RECORD.node, **changes), expired=False, seq=7)  # type: ignore[arg-type]
    assert {name for name in SEQS if getattr(after, name) == 7} == stamped


def test_an_expiry_that_is_taken_away_needs_the_whole_node() -> None:
    record = replace(RECORD, node=replace(RECORD.node, expiry=NOW + timedelta(days=1)))
    assert advance(record, replace(record.node, expiry=None), expired=False, seq=7).full_seq == 7


def test_becoming_expired_is_told_to_all() -> None:
    after = advance(RECORD, RECORD.node, expired=True, seq=7)
    assert (after.full_seq, after.self_seq) == (7, 7)


def test_nothing_new_is_the_same_record() -> None:
    assert advance(RECORD, RECORD.node, expired=False, seq=7) is RECORD
