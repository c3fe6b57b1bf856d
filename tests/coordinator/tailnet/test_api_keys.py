"""API keys as texts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coordinator.tailnet.api_keys import ApiKey, api_key_matches, new_api_secret, prefix_of, split_api_key
from coordinator.tailnet.preauth_keys import hash_secret
from tests.support.builders import NOW

TEXT, PREFIX, SECRET = new_api_secret(bytes(range(38)))
KEY = ApiKey(id=1, prefix=PREFIX, hash=hash_secret(PREFIX, SECRET), expiration=NOW, created_at=NOW)


def test_a_text_proves_its_key_and_no_other() -> None:
    assert TEXT.startswith("hskey-api-")
    assert split_api_key(f" {TEXT}\n") == (PREFIX, SECRET)
    assert api_key_matches(KEY, SECRET)
    assert not api_key_matches(KEY, "0" * 64)
    assert not api_key_matches(None, SECRET)
    assert SECRET not in KEY.masked


@pytest.mark.parametrize("text", ["", "hskey-api-", TEXT + "0", TEXT.replace("-", ""), "Basic x"])
def test_other_texts_are_no_keys(text: str) -> None:
    assert split_api_key(text) is None


def test_a_prefix_in_any_form_and_the_end() -> None:
    assert {prefix_of(text) for text in (PREFIX, KEY.masked, TEXT)} == {PREFIX}
    assert KEY.valid(NOW - timedelta(seconds=1))
    assert not KEY.valid(NOW)
