"""Cutting a section out of a policy text."""

from __future__ import annotations

import pytest

from acl import parse_policy
from acl.sections import without_section

TEXT = """{
  // who
  "groups": {"group:ops": ["ada@"]},
  "access": {"profiles": {
    "p": {"src": ["group:ops"], "dst": ["*:22"]}, // here, too: "access"
  }}, // why
  "acls": [], /* end */
}
"""


def test_everything_else_stays_as_it_was_written() -> None:
    cut = without_section(TEXT, "access")
    assert '"access"' not in cut
    assert "// who" in cut
    assert "/* end */" in cut
    assert parse_policy(cut).acls == ()
    assert parse_policy(cut).access_profiles == ()
    assert without_section(cut, "access") == cut


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ('{"access":{},"acls":[]}', '{"acls":[]}'),
        ('{"acls":[],"access":{}}', '{"acls":[],}'),
        ('{"access":{}}', "{}"),
        ('{"access":{} /*x*/ , "acls":[]}', '{ "acls":[]}'),
        ('{\n  "acls": [],\n  "access": {},\n}', '{\n  "acls": [],\n}'),
    ],
)
def test_commas(text: str, cut: str) -> None:
    assert without_section(text, "access") == cut
    parse_policy(cut)
