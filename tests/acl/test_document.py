"""The document's small look-ups."""

from __future__ import annotations

import acl


def test_names_declared_by_a_policy() -> None:
    policy = acl.parse_policy(
        '{"groups": {"group:a": [" x@y.z"]}, "hosts": {"h": " 10.0.0.1"}, "tagOwners": {"tag:t": []}} // kept'
    )
    assert policy.group_members() == {"group:a": ("x@y.z",)}
    assert policy.host_addresses() == {"h": "10.0.0.1"}
    assert policy.tags() == {"tag:t"}
    assert policy.text.endswith("// kept")
