"""Events as the receivers want them. Texts of people are never taken for markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coordinator.tailcfg.codec import go_time
from coordinator.webhooks.events import AccessEvent, facts, headline

MAX_SLACK_TEXT = 1900
"""Slack refuses longer fields (2000), and then the whole message."""
MAX_SLACK_HEAD = 2900
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Buttons:
    """Tokens behind the buttons, and where their answers go."""

    approve: str
    deny: str
    url: str


def slack_message(event: AccessEvent, buttons: Buttons | None) -> dict[str, Any]:
    """Block Kit. Source: Slack's documentation of blocks and incoming webhooks."""
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": _slack_text(headline(event)[:MAX_SLACK_HEAD])},
        {
            "type": "section",
            "fields": [_slack_text(f"{label}: {text}"[:MAX_SLACK_TEXT]) for label, text in facts(event)],
        },
    ]
    if buttons is not None:
        elements = [
            _slack_button("approve", "Approve", "primary", buttons.approve),
            _slack_button("deny", "Deny", "danger", buttons.deny),
        ]
        blocks.append({"type": "actions", "block_id": f"access-{event.request.id}", "elements": elements})
    return {"text": slack_escaped(headline(event)), "blocks": blocks}


def slack_escaped(text: str) -> str:
    """Text where Slack reads markup: nobody is pinged, nothing is a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mattermost_message(event: AccessEvent, buttons: Buttons | None) -> dict[str, Any]:
    """A message attachment. Source: Mattermost's documentation of interactive messages."""
    attachment: dict[str, Any] = {
        "fallback": headline(event),
        "title": _BLANKS.sub(" ", headline(event)).replace("@", "@\u200b"),
        "fields": [
            {"short": len(text) < 40, "title": label, "value": mattermost_escaped(text)}
            for label, text in facts(event)
        ],
    }
    if buttons is not None:
        attachment["actions"] = [
            _mattermost_button("approve", "Approve", "good", buttons.approve, buttons.url),
            _mattermost_button("deny", "Deny", "danger", buttons.deny, buttons.url),
        ]
    return {"attachments": [attachment]}


def mattermost_escaped(text: str) -> str:
    """Text of people as code, in which Mattermost sees neither markup nor mentions."""
    return "`" + _BLANKS.sub(" ", text).replace("`", "'") + "`"


def generic_message(
    event: AccessEvent, answer_url: str, links: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """JSON for programs; `answer_url` is empty when nobody can answer."""
    request = event.request
    document: dict[str, Any] = {
        "id": event.id,
        "at": event.at,
        "event": event.name,
        "text": headline(event),
        "by": event.by,
        "request": {
            "id": str(request.id),
            "state": event.state,
            "profile": request.profile,
            "user": event.user,
            "machine": event.machine,
            "node": None if request.node_id is None else str(request.node_id),
            "reason": request.reason,
            "ticket": request.ticket,
            "incident": request.incident,
            "break_glass": request.break_glass,
            "duration_seconds": int(request.duration.total_seconds()),
            "requested_at": go_time(request.requested_at),
            "answer_by": go_time(request.answer_by),
            "opens_at": _time(request.opens_at),
            "closes_at": _time(request.closes_at),
            "ended_at": _time(request.ended_at),
            "end_reason": request.end_reason,
            "denied_by": request.denied_by,
            "approvals": [each.by for each in request.approvals],
            "approvals_needed": event.approvals_needed,
        },
    }
    if event.open_question and answer_url:
        document["answer"] = {"url": answer_url, "approvers": list(event.approvers)}
    if links:
        document["links"] = [dict(each) for each in links]
    return document


def _slack_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _slack_button(action: str, label: str, style: str, token: str) -> dict[str, Any]:
    return {
        "type": "button",
        "text": _slack_text(label),
        "style": style,
        "action_id": action,
        "value": token,
    }


def _mattermost_button(action: str, label: str, style: str, token: str, url: str) -> dict[str, Any]:
    return {
        "id": action,
        "name": label,
        "type": "button",
        "style": style,
        "integration": {"url": url, "context": {"token": token}},
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else go_time(at)
