"""The form of an entry and its hash."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from coordinator.audit.entry import (
    FIELDS,
    GENESIS,
    Head,
    document_text,
    explains_start,
    moment_text,
    prune_entry,
    seal,
    storable,
)
from tests.support.audit_entries import make_chain, make_entry
from tests.support.builders import NOW


def test_the_hash_can_be_computed_from_the_description_alone() -> None:
    entry = next(seal([make_entry(1, object_name="nämé")], 0, GENESIS))
    values = [getattr(entry, name) for name in FIELDS]
    canonical = json.dumps(values, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    expected = blake2b(bytes(32) + canonical, digest_size=32, person=b"coord.audit.v1").hexdigest()
    assert entry.hash == expected


def test_the_form_does_not_change() -> None:
    # Logs outlive releases: this value is what the first release computed.
    entry = next(seal([make_entry(1)], 0, GENESIS))
    assert entry.hash == "babc9b19e32c301be6f8aa51d5907dbacd8369e68b4f4830ec9afed09063c2f9"


def test_each_entry_links_to_the_one_before() -> None:
    chain, head = make_chain(3)
    assert [entry.id for entry in chain] == [1, 2, 3]
    assert [entry.previous for entry in chain] == [GENESIS, chain[0].hash, chain[1].hash]
    assert head == (3, chain[2].hash, 1, GENESIS)


def test_a_chain_is_the_same_in_one_batch_or_in_many() -> None:
    chain, _ = make_chain(5)
    first = list(seal([make_entry(1), make_entry(2)], 0, GENESIS))
    rest = list(seal([make_entry(number) for number in (3, 4, 5)], 2, first[-1].hash))
    assert [*first, *rest] == chain


@given(st.text())
def test_every_text_can_be_stored_and_hashed(text: str) -> None:
    entry = next(seal([make_entry(1, object_name=text, after={"x": text})], 0, GENESIS))
    assert entry.object_name == storable(text)
    assert "\0" not in entry.object_name
    entry.object_name.encode()
    assert entry.after.isascii()
    assert entry.digest() == entry.hash


def test_times_are_of_fixed_width_in_utc() -> None:
    moment = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert moment_text(moment) == "2026-01-02T01:00:00.000000Z"


def test_documents_do_not_depend_on_the_order_of_their_keys() -> None:
    assert (
        document_text({"b": 1, "a": [None]}) == document_text({"a": [None], "b": 1}) == '{"a":[null],"b":1}'
    )
    assert document_text({}) == "{}"


def test_a_damaged_link_has_a_digest_too() -> None:
    chain, _ = make_chain(1)
    assert chain[0]._replace(previous="not hexadecimal é").digest() != chain[0].hash


def test_only_the_entry_of_its_own_end_explains_where_a_log_begins() -> None:
    chain, _ = make_chain(3)
    entry = next(seal([prune_entry(NOW, chain[1], 1, timedelta(days=1))], 3, chain[2].hash))
    assert explains_start(entry, Head(4, entry.hash, 3, chain[1].hash))
    assert not explains_start(entry, Head(4, entry.hash, 2, chain[0].hash))
    for after in ("{}", "[]", "7", "nonsense"):
        assert not explains_start(entry._replace(after=after), Head(4, entry.hash, 3, chain[1].hash))
