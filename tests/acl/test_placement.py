"""Where each kind of selector may stand."""

from __future__ import annotations

import pytest

from acl.document import Word
from acl.placement import Names, Place, check_selector
from acl.problems import Span
from tests.acl.tailnets import policy

NAMES = Names(policy(hosts={"h": "10.0.0.1"}, ipsets={"ipset:i": ["10.0.0.0/8"]}))
SPAN = Span(line=1, column=1, end_line=1, end_column=2)
NODES = ["a@b.c", "tag:server", "autogroup:member", "autogroup:members", "autogroup:tagged"]
PEOPLE = ["group:g", "user:*@b.c", "autogroup:owner", "autogroup:admin", "autogroup:network-admin"]
PLACES = ["*", "10.0.0.1", "10.0.0.0/8", "h"]
SELF, INTERNET, DANGER, SHARED = (f"autogroup:{n}" for n in ("self", "internet", "danger-all", "shared"))
ALLOWED = {
    Place.SRC: [*NODES, *PEOPLE, *PLACES, "ipset:i", DANGER, SHARED],
    Place.DST: [*NODES, *PEOPLE, *PLACES, "ipset:i", "svc:x", SELF, INTERNET],
    Place.OWNER: [*NODES, *PEOPLE],
    Place.APPROVER: [*NODES, *PEOPLE],
    Place.TARGET: [*NODES, *PEOPLE, *PLACES],
    Place.SSH_SRC: [*NODES, *PEOPLE],
    Place.SSH_DST: [*NODES, SELF],
}
ALL = sorted({text for allowed in ALLOWED.values() for text in allowed} | {"autogroup:nonroot"})


@pytest.mark.parametrize("place", list(Place))
def test_what_may_stand_where(place: Place) -> None:
    allowed = {text for text in ALL if check_selector(Word(text, SPAN), place, NAMES) is None}
    assert allowed == set(ALLOWED[place])


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        (Place.SRC, "tag:sever", 'src=tag not found: "tag:sever"'),
        (Place.DST, "tag:sever", 'dst="tag:sever": tag not found: "tag:sever"'),
        (Place.SRC, "autogroup:self", '"autogroup:self" not valid on the src side of a rule'),
        (Place.DST, "autogroup:danger-all", "cannot use autogroup:danger-all as a dst"),
        (Place.TARGET, "tag:sever", 'tag not found: "tag:sever"'),
        (Place.TARGET, "%bogus%", '"%bogus%": invalid address'),
        (Place.SSH_DST, "h", 'invalid dst "h"'),
        (Place.SRC, "autogroup:membr", 'unknown autogroup "autogroup:membr"'),
        (Place.SRC, "ipset:j", 'src=ipset not found: "ipset:j"'),
        (Place.OWNER, "10.0.0.1", '"10.0.0.1" not valid in tagOwners'),
    ],
)
def test_messages(place: Place, text: str, message: str) -> None:
    found = check_selector(Word(text, SPAN), place, NAMES)
    assert found is not None
    assert found.message == message


def test_hints_name_what_was_probably_meant() -> None:
    found = check_selector(Word("tag:sever", SPAN), Place.SRC, NAMES)
    assert found is not None
    assert found.help == "did you mean `tag:server`?"
