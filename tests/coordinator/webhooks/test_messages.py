"""Messages as the receivers want them."""

from __future__ import annotations

import json

from coordinator.webhooks.messages import (
    Buttons,
    generic_message,
    mattermost_escaped,
    mattermost_message,
    slack_escaped,
    slack_message,
)
from tests.support.webhooks import make_event, make_request

BUTTONS = Buttons(approve="yes-token", deny="no-token", url="https://vpn.example/access/hooks/chat")


def test_slack_gets_blocks_with_buttons() -> None:
    message = slack_message(make_event(), BUTTONS)
    head, facts, actions = message["blocks"]
    assert head["text"] == {"type": "plain_text", "text": "alice asks for `mgmt`", "emoji": False}
    assert {each["type"] for each in facts["fields"]} == {"plain_text"}
    assert len(facts["fields"]) <= 10
    assert [(each["action_id"], each["value"], each["style"]) for each in actions["elements"]] == [
        ("approve", "yes-token", "primary"), ("deny", "no-token", "danger")
    ]  # fmt: skip
    assert len(slack_message(make_event(), None)["blocks"]) == 2


def test_slack_is_pinged_by_nobody_and_refuses_nothing_for_its_length() -> None:
    event = make_event(user="<!channel> & co", request=make_request(reason="x" * 5000))
    message = slack_message(event, None)
    assert "<" not in message["text"]
    assert "&lt;!channel&gt; &amp; co" in message["text"]
    assert max(len(each["text"]) for each in message["blocks"][1]["fields"]) < 2000
    assert slack_escaped("<@U1>") == "&lt;@U1&gt;"


def test_mattermost_gets_an_attachment_with_buttons() -> None:
    (attachment,) = mattermost_message(make_event(), BUTTONS)["attachments"]
    approve, deny = attachment["actions"]
    assert approve["integration"] == {"url": BUTTONS.url, "context": {"token": "yes-token"}}
    assert deny["integration"]["context"] == {"token": "no-token"}
    assert all(each["id"].isalnum() for each in attachment["actions"]), "Mattermost refuses others"
    assert "actions" not in mattermost_message(make_event(), None)["attachments"][0]


def test_mattermost_is_pinged_by_nobody() -> None:
    event = make_event(user="@all", request=make_request(reason="a `b`\n@channel **x**"))
    (attachment,) = mattermost_message(event, None)["attachments"]
    assert "@all" not in attachment["title"]
    (reason,) = [each["value"] for each in attachment["fields"] if each["title"] == "Reason"]
    assert reason == "`a 'b' @channel **x**`"
    assert mattermost_escaped("`") == "`'`"


def test_programs_get_json() -> None:
    links = [{"user": "bob", "approve": "https://a", "deny": "https://d"}]
    message = generic_message(make_event(), BUTTONS.url, links)
    assert json.loads(json.dumps(message)) == message
    assert (message["id"], message["event"], message["request"]["id"]) == (11, "requested", "7")
    assert message["answer"] == {"url": BUTTONS.url, "approvers": ["bob", "carol"]}
    assert message["links"] == links
    over = generic_message(make_event(name="ended", state="ended"), BUTTONS.url)
    assert "answer" not in over
    assert "links" not in over
