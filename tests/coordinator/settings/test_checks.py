"""Keys that contradict each other, and remarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.settings.checks import check_together
from coordinator.settings.load import SettingsError, load_settings

GOOD = "server_url: http://10.0.0.1:8080\ndns: {base_domain: tail.lab, override_local_dns: false}\n"


def outcome(tmp_path: Path, more: str, good: str = GOOD) -> tuple[str, str]:
    """(problems, notices) of a configuration."""
    path = tmp_path / "c.yaml"
    path.write_text(good + more + "\n")
    try:
        _, notices = load_settings(path, {})
    except SettingsError as error:
        return "\n".join(error.problems), ""
    return "", "\n".join(notices)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "metrics_listen_addr: ':8080'",
            "c.yaml:3: `metrics_listen_addr`: port 8080 is taken by `listen_addr`",
        ),
        (
            "derp: {server: {enabled: true, tls_listen_addr: '127.0.0.1:8080'}}",
            "`derp.server.tls_listen_addr`: port 8080 is taken",
        ),
        (
            "derp: {server: {enabled: true, tls_cert_path: ''}}",
            "`derp.server.tls_cert_path`: a path is needed",
        ),
        ("derp: {server: {enabled: true, region_id: 0}}", "from 1 to 9999"),
        ("derp: {server: {enabled: true, stun_listen_addr: ''}}", "is needed with the embedded relay"),
        ("listen_addr: ''", "an address is needed"),
        (
            "access: {tailnet_listen_addr: '0.0.0.0:8082'}",
            "`access.tailnet_listen_addr`: `0.0.0.0` is no address of the tailnet: give the one",
        ),
        ("access: {tailnet_listen_addr: 'hub.example:8082'}", "`hub.example` is no address of the tailnet"),
        (f"unix_socket: /{'x' * 107}", "longer than 107 bytes"),
        ("tuning: {batch_change_delay: 6s}", "must be 5s or less"),
        (
            "database: {type: postgres, postgres: {host: h, name: n, user: u, port: 70000}}",
            "from 1 to 65535",
        ),
    ],
)
def test_contradictions(tmp_path: Path, line: str, words: str) -> None:
    assert words in outcome(tmp_path, line)[0]


def test_ports_on_different_addresses_are_different(tmp_path: Path) -> None:
    assert outcome(tmp_path, "metrics_listen_addr: 127.0.0.2:8080") == ("", "")
    assert outcome(tmp_path, "access: {tailnet_listen_addr: '100.64.0.1:8080'}") == ("", "")
    assert outcome(tmp_path, "access: {tailnet_listen_addr: '[fd7a:115c:a1e0::1]:8080'}") == ("", "")
    assert outcome(tmp_path, "metrics_listen_addr: 127.0.0.1:0\nlisten_addr: 127.0.0.1:0") == ("", "")


def test_records_come_from_one_place(tmp_path: Path) -> None:
    good = "server_url: http://10.0.0.1\n"
    dns = (
        "dns: {magic_dns: false, override_local_dns: false, extra_records_path: r.json, extra_records: [%s]}"
    )
    assert "not both" in outcome(tmp_path, dns % "{name: a.b, value: 1.2.3.4}", good)[0]
    assert outcome(tmp_path, dns % "", good)[0] == ""


def test_a_problem_elsewhere_does_not_hide_contradictions(tmp_path: Path) -> None:
    problems, _ = outcome(
        tmp_path,
        "log: {level: loud}\nnode: {ephemeral: {inactivity_timeout: 3s}}\nprefixes: {v4: '', v6: ''}",
    )
    for words in ("`log.level`", "longer than 65s", "one of prefixes.v4 and prefixes.v6"):
        assert words in problems


def test_checks_leave_out_what_did_not_convert() -> None:
    said: list[str] = []
    check_together({}, lambda path, text: said.append(path), lambda path, text: said.append(path))
    assert said == []


@pytest.mark.parametrize(
    ("good", "line", "words"),
    [
        (GOOD, "prefixes: {v4: 10.0.0.0/8}", "outside 100.64.0.0/10"),
        (GOOD, "prefixes: {v6: 'fd00::/48'}", "outside fd7a:115c:a1e0::/48"),
        (GOOD.replace("10.0.0.1", "vpn.example.com"), "", "dial port 443 when they reconnect"),
        (GOOD, "tls_cert_path: a\ntls_key_path: b", "begins with http:// although"),
    ],
)
def test_remarks(tmp_path: Path, good: str, line: str, words: str) -> None:
    problems, notices = outcome(tmp_path, line, good)
    assert problems == ""
    assert words in notices
