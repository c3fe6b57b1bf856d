"""Guards that stand alone; the rest is tested with the verbs in test_access."""

from __future__ import annotations

from datetime import timedelta

import pytest

from acl import parse_policy
from coordinator.services.access_rules import Asked, duration_of, hours_text, require_texts
from coordinator.tailnet.errors import InvalidError
from tests.support.builders import make_user


def test_durations_and_texts() -> None:
    text = '{"access": {"profiles": {"p": {"src": ["*"], "dst": ["*:22"], "hours": "09:00-17:00 UTC"}}}}'
    (profile,) = parse_policy(text).access_profiles
    assert duration_of(profile, None) == timedelta(hours=1)
    assert hours_text(profile) == "09:00-17:00 UTC"
    require_texts(profile, Asked(profile="p", user=make_user(1)))
    with pytest.raises(InvalidError, match="longer than 1000"):
        require_texts(profile, Asked(profile="p", user=make_user(1), reason="x" * 1001))
