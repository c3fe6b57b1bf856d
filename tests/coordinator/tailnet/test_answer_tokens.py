"""Tokens that carry an answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.answer_tokens import LINK, AnswerTokens, answer_to
from coordinator.tailnet.errors import ExpiredError, NotFoundError
from coordinator.tailnet.users import UserID
from tests.support.builders import NOW

KEY = bytes(range(32))
REQUEST = AccessRequest(
    id=7,
    profile="mgmt",
    user_id=UserID(1),
    node_id=None,
    duration=timedelta(hours=1),
    reason="",
    ticket="",
    requested_at=NOW,
    answer_by=NOW + timedelta(hours=1),
)
ANSWER = answer_to(REQUEST, "approve", 2)


def test_what_was_made_is_read_again() -> None:
    tokens = AnswerTokens(KEY)
    text = tokens.make(LINK, ANSWER)
    assert tokens.read(LINK, text, NOW) == ANSWER
    assert ANSWER.belongs_to(REQUEST)
    assert not ANSWER.belongs_to(replace(REQUEST, answer_by=NOW + timedelta(hours=2)))
    assert not ANSWER.belongs_to(replace(REQUEST, id=8))


def test_the_signature_computed_by_hand() -> None:
    expires = int((NOW + timedelta(hours=1)).timestamp())
    body = f"approve.7.2.{expires}"
    message = f"coordinator access answer 1\nlink\n{body}".encode()
    digest = hmac.new(KEY, message, hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert AnswerTokens(KEY).make(LINK, ANSWER) == f"{body}.{signature}"


def test_nothing_that_was_changed_is_read() -> None:
    tokens = AnswerTokens(KEY)
    text = tokens.make(LINK, ANSWER)
    decision, request, user, expires, signature = text.split(".")
    forged = [
        ".".join(("deny", request, user, expires, signature)),
        ".".join((decision, "8", user, expires, signature)),
        ".".join((decision, request, "3", expires, signature)),
        ".".join((decision, request, user, str(int(expires) + 1), signature)),
        ".".join((decision, request, user, expires, "A" * 43)),
        ".".join((decision, request, user, expires, "")),
        text + "\n",
        text.replace("7", "٧", 1),
        "",
    ]
    for each in forged:
        with pytest.raises(NotFoundError):
            tokens.read(LINK, each, NOW)
    with pytest.raises(NotFoundError):
        tokens.read("hook:slack", text, NOW)
    with pytest.raises(NotFoundError):
        AnswerTokens(bytes(32)).read(LINK, text, NOW)


def test_it_ends_with_the_request() -> None:
    tokens = AnswerTokens(KEY)
    text = tokens.make(LINK, ANSWER)
    tokens.read(LINK, text, NOW + timedelta(minutes=59, seconds=59))
    with pytest.raises(ExpiredError, match="not answered in time"):
        tokens.read(LINK, text, NOW + timedelta(hours=1))
