"""Where each kind of selector may stand."""

from __future__ import annotations

import pytest

from acl.document import Word
from acl.placement import Names, Place, check_selector
from acl.problems import Span
from tests.acl.tailnets import policy

NAMES = Names(policy(hosts={"h": "10.0.0.1"}, ipsets={"ipset:i": ["10.0.0.0/8"]}))
SPAN = Span(line=1, column=1, end_line=1, end_column=2)
EVERYWHERE = ["a@b.c", "tag:server", "autogroup:member", "autogroup:members", "autogroup:tagged"]
ALLOWED = {
    Place.SRC: ["*", "group:g", "10.0.0.1", "h", "autogroup:danger-all", "autogroup:shared", "user:*@b.c", "ipset:i",
                "autogroup:admin"],
    Place.DST: ["*", "group:g", "10.0.0.0/8", "h", "autogroup:self", "autogroup:internet", "user:*@b.c", "ipset:i",
                "svc:x"],
    Place.OWNER: ["group:g", "autogroup:admin", "autogroup:owner"],
    Place.APPROVER: ["group:g", "autogroup:network-admin"],
    Place.TARGET: ["*", "group:g", "10.0.0.1", "h", "autogroup:admin"],
    Place.SSH_SRC: ["group:g", "autogroup:it-admin", "user:*@b.c"],
    Place.SSH_DST: ["autogroup:self"],
}  # fmt: skip
ALL = sorted({text for allowed in ALLOWED.values() for text in allowed} | {"autogroup:nonroot"})


@pytest.mark.parametrize("place", list(Place))
def test_what_may_stand_where(place: Place) -> None:
    allowed = {text for text in [*EVERYWHERE, *ALL] if check_selector(Word(text, SPAN), place, NAMES) is None}
    assert allowed == {*EVERYWHERE, *ALLOWED[place]}


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
