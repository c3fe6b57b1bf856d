"""From settings to sinks, and the server's own entry."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from coordinator.audit_setup import make_sinks
from coordinator.settings.load import SettingsError, load_settings
from coordinator.settings.model import Audit
from tests.support.server_in_process import running_server

ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


def audit_settings(tmp_path: Path, text: str) -> Audit:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"server_url: http://10.0.0.1\ndns: {{magic_dns: false, override_local_dns: false}}\n{text}\n"
    )
    return load_settings(path, {})[0].audit


def test_without_settings_there_are_no_sinks(tmp_path: Path) -> None:
    assert make_sinks(audit_settings(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("unix:/dev/log", "syslog:unix:/dev/log"),
        ("udp:loghost:514", "syslog:udp:loghost:514"),
        ("tcp:[::1]:601", "syslog:tcp:::1:601"),
    ],
)
def test_all_of_them(tmp_path: Path, address: str, name: str) -> None:
    text = (
        f"audit: {{file: {{path: a.jsonl}}, syslog: {{address: '{address}'}}, "
        "https: {url: 'https://logs.example/in?x=1', token: t}}"
    )
    assert [sink.name for sink in make_sinks(audit_settings(tmp_path, text))] == [
        f"file:{tmp_path}/a.jsonl",
        name,
        "https:https://logs.example/in",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "audit: {syslog: {address: 'loghost:514'}}",
        "audit: {syslog: {address: 'unix:relative'}}",
        "audit: {syslog: {address: 'udp:loghost'}}",
        "audit: {syslog: {address: 'tcp::601'}}",
        "audit: {https: {url: 'http://logs.example/in'}}",
        "audit: {https: {url: 'https://u:p@logs.example/in'}}",
        "audit: {https: {url: 'https://'}}",
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"audit\.(syslog|https)"):
        audit_settings(tmp_path, text)


async def test_a_server_says_that_it_started_and_under_which_policy(tmp_path: Path) -> None:
    more = "audit: {file: {path: audit.jsonl}}"
    for _ in range(2):
        async with running_server(tmp_path, ALL, more) as server:
            await server.call("GET", "/api/v1/health")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["server.start", "server.start"]
    assert lines[0]["after"]["policy"]["bytes"] == len(ALL)
    assert lines[1]["previous"] == lines[0]["hash"]


async def test_entries_leave_while_the_server_runs(tmp_path: Path) -> None:
    async with running_server(tmp_path, ALL, "audit: {file: {path: audit.jsonl}}") as server:
        await server.call("POST", "/api/v1/user", json={"name": "alice"})
        path = tmp_path / "audit.jsonl"
        async with asyncio.timeout(5):
            while not path.exists() or '"user.create"' not in path.read_text():
                await asyncio.sleep(0.02)
