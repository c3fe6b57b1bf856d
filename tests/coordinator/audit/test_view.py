"""What leaves the program."""

from __future__ import annotations

import json

from coordinator.audit.view import entry_line, entry_view
from tests.support.audit_entries import make_chain


def test_a_line_is_the_view_in_ascii() -> None:
    entry = make_chain(1)[0][0]._replace(object_name="nämé\nx")
    line = entry_line(entry)
    assert json.loads(line) == entry_view(entry)
    assert line.isascii()
    assert "\n" not in line


def test_all_of_an_entry_is_shown() -> None:
    entry = make_chain(1)[0][0]
    assert entry_view(entry) == {
        "id": "1",
        "time": "2026-06-01T12:00:01.000000Z",
        "actor": {"kind": "user", "name": "alice"},
        "source": "192.0.2.1",
        "action": "node.rename",
        "object": {"kind": "node", "id": "1", "name": "host1"},
        "before": {"given_name": "old1"},
        "after": {"given_name": "host1"},
        "reason": "tidying up",
        "requestId": "r1",
        "previous": entry.previous,
        "hash": entry.hash,
    }


def test_what_is_no_document_any_more_is_shown_as_it_stands() -> None:
    assert entry_view(make_chain(1)[0][0]._replace(before="{oops"))["before"] == "{oops"
