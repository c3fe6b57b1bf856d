"""Pre-auth key texts and hashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailnet.errors import UnauthenticatedError
from coordinator.tailnet.preauth_keys import matches, new_secret, split_key
from tests.support.builders import make_key


def test_the_text_has_the_fields_form() -> None:
    text, prefix = new_secret(bytes(range(38)))
    assert text.startswith(f"hskey-auth-{prefix}-")
    assert len(text) == len("hskey-auth-") + 12 + 1 + 64
    assert "--TL" not in text


def test_only_the_right_secret_matches() -> None:
    key, text = make_key(1)
    secret = split_key(text)[1]
    assert matches(key, secret)
    assert not matches(key, secret[:-1] + ("0" if secret[-1] != "0" else "1"))


def test_the_same_secret_under_another_prefix_has_another_hash() -> None:
    one, _ = make_key(1)
    two, _ = make_key(1, prefix="f" * 12)
    assert matches(one, split_key(make_key(1)[1])[1])
    assert not matches(two, split_key(make_key(1)[1])[1])


def test_the_secret_is_not_in_the_key() -> None:
    key, text = make_key(1)
    assert split_key(text)[1] not in repr(key)
    assert key.masked == f"hskey-auth-{key.prefix}-***"


@given(st.text(max_size=120))
def test_any_text_splits_or_is_refused(text: str) -> None:
    try:
        prefix, secret = split_key(text)
    except UnauthenticatedError:
        return
    assert (len(prefix), len(secret)) == (12, 64)


def test_a_cut_text_says_what_to_do() -> None:
    with pytest.raises(UnauthenticatedError, match="copy the whole text"):
        split_key("hskey-auth-0123456789ab-short")
