"""Tokens of machines: their form, and that one kind is not taken for another."""

from __future__ import annotations

import os

import pytest

from coordinator.tailnet.bearer_tokens import (
    ENROLMENT_TOKEN,
    GATEWAY_TOKEN,
    SECRET_BYTES,
    new_token,
    split_token,
    token_matches,
)


def test_a_token_proves_itself() -> None:
    text, prefix, kept = new_token(GATEWAY_TOKEN, os.urandom(SECRET_BYTES))
    parts = split_token(GATEWAY_TOKEN, f" {text}\n")
    assert parts is not None
    assert parts[0] == prefix
    assert token_matches(prefix, kept, parts[1])
    assert not token_matches(prefix, kept, parts[1][:-1] + "x")
    assert not token_matches(prefix, None, parts[1])
    assert split_token(ENROLMENT_TOKEN, text) is None


@pytest.mark.parametrize("wrong", ["", "x", GATEWAY_TOKEN, GATEWAY_TOKEN + "0" * 77, "0" * 77, "é" * 87])
def test_texts_of_another_form(wrong: str) -> None:
    assert split_token(GATEWAY_TOKEN, wrong) is None


def test_so_many_bytes() -> None:
    with pytest.raises(ValueError, match="38 random bytes"):
        new_token(GATEWAY_TOKEN, b"x")
