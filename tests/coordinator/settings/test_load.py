"""Loading: everything wrong is said at once, with its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.settings.load import SettingsError, find_config, load_settings

GOOD = """\
server_url: http://10.0.0.1:8080
dns:
  base_domain: tail.lab
  override_local_dns: false
"""
REPOSITORY = Path(__file__).resolve().parents[3]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text), env or {})
    return "\n".join(caught.value.problems)


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    settings, notices = load_settings(write(tmp_path, GOOD), {})
    assert notices == []
    assert settings.server_host == "10.0.0.1"
    assert settings.plain_http
    assert settings.database.sqlite_path == tmp_path / "db.sqlite"
    assert settings.coalescing_window == timedelta(milliseconds=25)
    assert not settings.node_expiry


def test_the_example_loads(tmp_path: Path) -> None:
    settings, notices = load_settings(REPOSITORY / "config" / "config.yaml", {})
    assert notices == []
    assert settings.dns.split == {"corp.example.com": ("10.0.0.53",)}
    assert settings.server_port == 443


def test_json_is_read_too(tmp_path: Path) -> None:
    text = '{"server_url": "https://a.example", "dns": {"magic_dns": false, "override_local_dns": false}}'
    settings, _ = load_settings(write(tmp_path, text), {})
    assert not settings.dns.magic_dns


def test_all_problems_come_together_with_their_lines(tmp_path: Path) -> None:
    text = GOOD + "listen_adr: x\nlog:\n  level: loud\nnode:\n  expiry: soon\nunix_socket_permission: 999\n"
    found = problems(tmp_path, text)
    assert "config.yaml:5: unknown key `listen_adr`; did you mean `listen_addr`?" in found
    assert "config.yaml:7: `log.level`: `loud` is not one of" in found
    assert "config.yaml:9: `node.expiry`: `soon` is not a duration" in found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("server_url: vpn.example.com", "must begin with http:// or https://"),
        ("server_url: http://x/path", "must not have a path"),
        ("listen_addr: 8080", "is not an address"),
        ("metrics_listen_addr: nonsense", "is not an address"),
        ("prefixes: {v4: 10.0.0.1/8}", "prefixes.v4"),
        ("prefixes: {v4: '', v6: ''}", "one of prefixes.v4 and prefixes.v6"),
        ("derp: {server: {enabled: maybe}}", "must be true or false"),
        ("derp: {server: {enabled: true, private_key_path: noise_private.key}}", "must not be the noise key"),
        ("policy: {mode: cloud}", "is not one of file, database"),
        ("node: {ephemeral: {inactivity_timeout: 10s}}", "longer than 65s"),
        ("database: {type: mysql}", "is not one of sqlite"),
        ("database: {type: postgres}", "database.postgres.host"),
        ("tls_cert_path: a.pem", "go together"),
        ("randomize_client_port: true", "randomizeClientPort"),
        ("oidc: {strip_email_domain: true}", "full login"),
        ("log: [a]", "`log` must be a mapping"),
        ("logs: {}", "unknown key `logs`"),
        ("derp: {server: {ipv4: relay.lab}}", "is not an IPv4 address"),
        ("unix_socket_permission: -1", "is not an octal mode"),
        ("metrics_listen_addr: 'a b:90'", "neither a host name nor an address"),
        ("ip_prefixes: [100.64.0.0/10, 100.64.0.0/16]", "only one prefix of each family"),
        ("prefixes: {v4: 100.64.0.0/16}\nip_prefixes: [100.64.0.0/10]", "is set already"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, line: str, words: str) -> None:
    text = (
        GOOD if not line.startswith("server_url") else "dns: {base_domain: a.b, override_local_dns: false}\n"
    )
    assert words in problems(tmp_path, text + line + "\n")


@pytest.mark.parametrize(
    ("dns", "words"),
    [
        ("{override_local_dns: false}", "dns.base_domain"),
        ("{base_domain: lab, override_local_dns: true}", "at least one server"),
        ("{base_domain: example.com, override_local_dns: false}", "must not contain the server's own host"),
        (
            "{base_domain: a, override_local_dns: false, nameservers: {global: [dns.lab]}}",
            "neither an address",
        ),
        ("{base_domain: a, override_local_dns: false, nameservers: {split: {x: [y]}}}", "neither an address"),
        ("{base_domain: a, override_local_dns: false, extra_records: [{name: x}]}", "needs name and value"),
        (
            "{base_domain: a, override_local_dns: false, extra_records: [{name: x, type: TXT, value: v}]}",
            "A and AAAA only",
        ),
        ("{base_domain: a b, override_local_dns: false}", "`dns.base_domain`: `a b` is not a domain name"),
        ("{base_domain: a, override_local_dns: false, search_domains: [x y]}", "is not a domain name"),
        (
            "{base_domain: a, override_local_dns: false, nameservers: {split: {x y: []}}}",
            "is not a domain name",
        ),
        (
            "{base_domain: a, override_local_dns: false, extra_records: [{name: x, value: v}]}",
            "record 1: `v` is not an address",
        ),
        (
            "{base_domain: a, override_local_dns: false, extra_records: [{name: x, type: A, value: 'f::'}]}",
            "does not fit type A",
        ),
    ],
)
def test_dns_mistakes(tmp_path: Path, dns: str, words: str) -> None:
    assert words in problems(tmp_path, f"server_url: https://vpn.example.com\ndns: {dns}\n")


@pytest.mark.parametrize("spelling", ["770", "0770", "0o770", "'0770'", '"0o770"'])
def test_a_file_mode_is_octal_however_it_is_spelled(tmp_path: Path, spelling: str) -> None:
    """YAML reads some of these as decimal or octal numbers."""
    settings, _ = load_settings(write(tmp_path, GOOD + f"unix_socket_permission: {spelling}\n"), {})
    assert settings.unix_socket_permission == 0o770


@pytest.mark.parametrize("password", ["0123", "yes", "1e3", "2024-01-01", "null_", "12:30"])
def test_a_password_stays_as_it_is_written(tmp_path: Path, password: str) -> None:
    postgres = f"{{host: h, name: n, user: u, ssl: false, pass: {password}}}"
    text = GOOD + f"database: {{type: postgres, postgres: {postgres}}}\n"
    settings, _ = load_settings(write(tmp_path, text), {})
    assert settings.database.password.reveal() == password
    assert settings.database.ssl == "false"


def test_a_former_key_that_says_what_everybody_has_is_no_mistake(tmp_path: Path) -> None:
    settings, notices = load_settings(write(tmp_path, GOOD + "randomize_client_port: false\n"), {})
    assert settings.server_port == 8080
    assert "randomizeClientPort" in notices[0]


def test_a_section_may_be_empty(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, GOOD + "derp:\nlog: {}\ndns_config: {}\n"), {})[1] == []


def test_keys_without_effect_are_named_once(tmp_path: Path) -> None:
    _, notices = load_settings(write(tmp_path, GOOD + "acme_email: a@b.c\ngrpc_listen_addr: ':50443'\n"), {})
    assert notices == ["config.yaml:5: `acme_email` has no effect yet: Automatic certificates."]


def test_former_names_are_taken_over(tmp_path: Path) -> None:
    text = (
        GOOD
        + "acl_policy_path: p.hujson\nip_prefixes: [fd7a:115c:a1e0::/48, 100.64.0.0/16]\ndb_type: sqlite3\n"
    )
    settings, notices = load_settings(write(tmp_path, text), {})
    assert settings.policy_path == tmp_path / "p.hujson"
    assert str(settings.prefix_v4) == "100.64.0.0/16"
    assert len(notices) == 3


def test_a_former_and_a_present_name_together_are_refused(tmp_path: Path) -> None:
    text = GOOD + "policy: {path: a}\nacl_policy_path: b\n"
    assert "is set already" in problems(tmp_path, text)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    assert "given twice" in problems(tmp_path, GOOD + "log: {level: info}\nLOG: {level: warn}\n")


def test_the_environment_overrides(tmp_path: Path) -> None:
    env = {
        "HEADSCALE_LOG_LEVEL": "debug",
        "HEADSCALE_DNS_NAMESERVERS_GLOBAL": "9.9.9.9 1.1.1.1",
        "HEADSCALE_DNS_NAMESERVERS_SPLIT": '{"lab": ["10.0.0.1"]}',
        "HEADSCALE_POLICY_PATH": "",
        "OTHER": "x",
    }
    settings, notices = load_settings(write(tmp_path, GOOD), env)
    assert settings.log_level == "debug"
    assert settings.dns.nameservers == ("9.9.9.9", "1.1.1.1")
    assert settings.dns.split == {"lab": ("10.0.0.1",)}
    assert notices == []


def test_former_names_work_in_the_environment_too(tmp_path: Path) -> None:
    env = {"HEADSCALE_ACL_POLICY_PATH": "p.hujson", "HEADSCALE_IP_PREFIXES": "100.64.0.0/16"}
    text = GOOD + "policy: {path: other}\nprefixes: {v4: 100.64.0.0/10}\n"
    settings, notices = load_settings(write(tmp_path, text), env)
    assert settings.policy_path == tmp_path / "p.hujson"
    assert (str(settings.prefix_v4), settings.prefix_v6) == ("100.64.0.0/16", None)
    assert len(notices) == 2
    assert "full login" in problems(tmp_path, GOOD, {"HEADSCALE_OIDC_STRIP_EMAIL_DOMAIN": "true"})


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    assert "$HEADSCALE_LOG_LEVEL" in problems(tmp_path, GOOD, {"HEADSCALE_LOG_LEVEL": "x"})
    _, notices = load_settings(write(tmp_path, GOOD), {"HEADSCALE_LOG_LEVL": "x"})
    assert "did you mean `HEADSCALE_LOG_LEVEL`" in notices[0]


@pytest.mark.parametrize(
    "text", ["[1]", "a: [", "\tx: 1", "a: b: c", "? [x]: y", "x: !!python/object:os.system y"]
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml", {})


def test_passwords_do_not_show(tmp_path: Path) -> None:
    text = GOOD + "database: {type: postgres, postgres: {host: h, name: n, user: u, pass: hunter2}}\n"
    settings, _ = load_settings(write(tmp_path, text), {})
    assert "hunter2" not in repr(settings)
    assert settings.database.password.reveal() == "hunter2"


def test_the_file_is_found(tmp_path: Path) -> None:
    assert find_config("a.yaml", {"HEADSCALE_CONFIG": "b.yaml"}) == Path("a.yaml")
    assert find_config(None, {"HEADSCALE_CONFIG": "b.yaml"}) == Path("b.yaml")
