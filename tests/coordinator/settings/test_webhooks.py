"""`access.webhooks`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coordinator.settings.load import SettingsError, load_settings
from coordinator.settings.webhooks import EVENTS, KINDS, AccessWebhook
from coordinator.webhooks import config

BASE = """\
server_url: http://10.0.0.1:8080
dns: {base_domain: tail.lab, override_local_dns: false}
"""
GOOD = {"kind": "generic", "url": "https://in.example/x", "secret": "0123456789abcdef"}
SLACK = GOOD | {"kind": "slack"}


def load(tmp_path: Path, *items: Any) -> tuple[tuple[AccessWebhook, ...], list[str]]:
    path = tmp_path / "config.yaml"
    path.write_text(BASE + f"access: {{webhooks: {json.dumps(items)}}}\n")
    settings, notices = load_settings(path, {})
    return settings.access_webhooks, notices


def problems(tmp_path: Path, *items: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, *items)
    return "\n".join(caught.value.problems)


def test_webhooks_are_read(tmp_path: Path) -> None:
    users = {"U1": "bob", "u2": "carol@example.com"}
    (generic, slack), notices = load(
        tmp_path, GOOD | {"links": True}, SLACK | {"name": "ops", "users": users, "events": ["ended"]}
    )
    assert notices == []
    assert (generic.name, generic.kind, generic.links, generic.events) == ("generic", "generic", True, EVENTS)
    assert (slack.name, slack.users, slack.events) == ("ops", users, ("ended",))
    assert slack.secret.reveal() == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(slack)


def test_the_words_are_those_of_the_program() -> None:
    assert KINDS == config.KINDS
    assert EVENTS == config.EVENT_NAMES


def test_slack_without_a_secret_has_no_buttons(tmp_path: Path) -> None:
    _, notices = load(tmp_path, {"kind": "slack", "url": "https://hooks.example/x"})
    assert ["no buttons" in notice for notice in notices] == [True]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"kind": "irc"}, "`kind`: `irc` is not one of slack, mattermost, generic"),
        (GOOD | {"url": ""}, "`url` is needed"),
        (GOOD | {"url": "http://in.example/x"}, "`url`: `http://in.example/x` must begin with https://"),
        (GOOD | {"secret": ""}, "`secret` is needed"),
        (GOOD | {"secret": "short"}, "shorter than 16"),
        (GOOD | {"kind": "mattermost"}, "Mattermost signs nothing"),
        (SLACK | {"links": True}, "`links` are for generic webhooks"),
        (GOOD | {"events": ["openned"]}, "`openned` is not one of"),
        (GOOD | {"name": "Ops Room"}, "a-z, 0-9"),
        (GOOD | {"users": {"U1": 7}}, "`U1` must be mapped"),
        (GOOD | {"users": ["x"]}, "`users`: must be a mapping"),
        (GOOD | {"color": "red"}, "unknown key `color`"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, item: dict[str, Any], words: str) -> None:
    said = problems(tmp_path, item)
    assert words in said
    assert "config.yaml:3: `access.webhooks`: webhook" in said


def test_names_are_unique(tmp_path: Path) -> None:
    assert "two webhooks are called `generic`" in problems(tmp_path, GOOD, GOOD)
