"""What comes back is read strictly."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from coordinator.tailnet.errors import InvalidError
from coordinator.webhooks.answers import Pressed, Said, read_generic, read_mattermost, read_slack


def slack_body(**changes: Any) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "username": "bob", "name": "bob"},
        "actions": [{"type": "button", "action_id": "approve", "value": "token"}],
        "response_url": "https://hooks.slack.com/actions/1",
        **changes,
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def test_slack() -> None:
    assert read_slack(slack_body()) == Pressed(
        person="U1", token="token", response_url="https://hooks.slack.com/actions/1"
    )
    assert read_slack(slack_body(response_url=None)).response_url == ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"payload=x",
        b"payload=[]",
        b"payload=" + b"%5B" * 20_000,
        slack_body(type="view_submission"),
        slack_body(actions=[]),
        slack_body(actions=["x"]),
        slack_body(actions=[{"value": 1}]),
        slack_body(user="bob"),
        slack_body(user={"id": ""}),
        slack_body(user={"id": "a\nb"}),
        slack_body(user={"id": "x" * 300}),
    ],
)
def test_slack_bodies_that_are_none(body: bytes) -> None:
    with pytest.raises(InvalidError):
        read_slack(body)


def test_mattermost() -> None:
    body = {"user_id": "abc", "user_name": "bob", "context": {"token": "t"}, "post_id": "p"}
    assert read_mattermost(json.dumps(body).encode()) == Pressed(person="abc", token="t")
    for wrong in ({}, {"user_id": "abc"}, {"user_id": "abc", "context": []}, {"context": {"token": "t"}}):
        with pytest.raises(InvalidError):
            read_mattermost(json.dumps(wrong).encode())


def test_programs() -> None:
    body = {"request": "12", "decision": "approve", "user": "bob@example.com"}
    assert read_generic(json.dumps(body).encode()) == Said(
        person="bob@example.com", request_id=12, decision="approve"
    )
    assert read_generic(json.dumps(body | {"request": 12, "decision": "deny"}).encode()).decision == "deny"
    for change in (
        {"request": True},
        {"request": "x"},
        {"request": "9" * 30},
        {"request": "-1"},
        {"decision": "maybe"},
        {"decision": None},
        {"user": ""},
        {"user": 7},
    ):
        with pytest.raises(InvalidError):
            read_generic(json.dumps(body | change).encode())
    for text in (b"", b"[]", b"[" * 100_000):
        with pytest.raises(InvalidError):
            read_generic(text)
