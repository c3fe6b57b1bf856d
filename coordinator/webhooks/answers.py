"""What comes back: who answered, and what. Whether it is genuine is checked before (Slack, generic)
or by the token inside (Mattermost)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from coordinator.tailnet.answer_tokens import Decision
from coordinator.tailnet.errors import InvalidError

MAX_ID_DIGITS = 18
MAX_PERSON = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """A button was pressed: by whom, as the chat names them for good, and the token behind the button.

    `response_url` is where Slack wants to hear what came of it.
    """

    person: str
    token: str
    response_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A program says what somebody decided."""

    person: str
    request_id: int
    decision: Decision


def read_slack(body: bytes) -> Pressed:
    """From the form with `payload` that Slack sends for interactive components.

    Raises:
        InvalidError: it is something else, or no button of ours.
    """
    try:
        form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
    except ValueError:
        raise InvalidError("the body is not the form that Slack sends") from None
    payload = _object(form.get("payload", [""])[0])
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list) or not actions:
        raise InvalidError("this is no press of a button: only interactivity belongs here")
    first = actions[0] if isinstance(actions[0], dict) else {}
    user = payload.get("user")
    return Pressed(
        person=_text(user if isinstance(user, dict) else {}, "id"),
        token=_text(first, "value"),
        response_url=str(payload.get("response_url") or ""),
    )


def read_mattermost(body: bytes) -> Pressed:
    """From what a Mattermost server posts for an interactive message.

    Raises:
        InvalidError: it is something else.
    """
    document = _object(body)
    context = document.get("context")
    return Pressed(
        person=_text(document, "user_id"), token=_text(context if isinstance(context, dict) else {}, "token")
    )


def read_generic(body: bytes) -> Said:
    """From `{"request": "12", "decision": "approve", "user": "bob@example.com"}`.

    Raises:
        InvalidError: which field is wrong.
    """
    document = _object(body)
    request = document.get("request")
    text = str(request) if isinstance(request, str | int) and not isinstance(request, bool) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_ID_DIGITS:
        raise InvalidError("`request` must be the id of a request")
    decision = document.get("decision")
    if decision == "approve":
        return Said(person=_text(document, "user"), request_id=int(text), decision="approve")
    if decision == "deny":
        return Said(person=_text(document, "user"), request_id=int(text), decision="deny")
    raise InvalidError("`decision` must be approve or deny")


def _object(text: str | bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidError("the body must be a JSON object")
    return document


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_PERSON or not value.isprintable():
        raise InvalidError(f"`{name}` is missing, or is not text")
    return value
