"""`python -m acl check`, and the example policy."""

from __future__ import annotations

import io
from pathlib import Path

import acl
from acl.__main__ import main
from tests.acl.tailnets import FACTS, node

EXAMPLE = Path(__file__).parents[2] / "config" / "acls.hujson"


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return main(arguments, out, err), out.getvalue(), err.getvalue()


def test_the_example_is_valid_and_does_what_it_says() -> None:
    assert run("check", str(EXAMPLE)) == (0, "Policy is valid\n", "")
    policy = acl.parse_policy(EXAMPLE.read_text(encoding="utf-8"))
    laptop = node(1, 2, attributes={"node:os": "macos", "node:tsVersion": "1.80.3"})
    idx = acl.PolicyIndex(policy, FACTS, [laptop, node(2, "tag:server"), node(3, 3)])
    assert acl.check_policy(policy, FACTS) == ()
    assert acl.explain(idx, "n1", "n2", 443, "tcp").allowed
    assert not acl.explain(idx, "n3", "n2", 443, "tcp").allowed
    idx.upsert(node(1, 2, attributes={"node:os": "macos", "node:tsVersion": "1.58"}))
    assert not acl.explain(idx, "n1", "n2", 443, "tcp").allowed


def test_problems_are_printed_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "p.hujson"
    file.write_text('{"acls": [{"action": "accept", "src": ["tag:x"], "dst": ["*:0"]}]}', encoding="utf-8")
    status, out, err = run("check", str(file))
    assert (status, out) == (1, "")
    assert err.splitlines()[0] == f'{file}: line 1, column 40: src=tag not found: "tag:x"'
    assert len(err.splitlines()) == 2
    file.write_bytes(b"\xff")
    assert run("check", str(file))[0] == 1


def test_misuse(tmp_path: Path) -> None:
    assert run("check")[0] == 2
    assert run("chek", "x")[0] == 2
    status, _, err = run("check", str(tmp_path / "absent"))
    assert (status, "No such file" in err) == (2, True)
