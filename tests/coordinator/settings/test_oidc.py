"""`oidc.*`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.settings.load import SettingsError, load_settings
from coordinator.settings.oidc import OIDC

BASE = """\
server_url: http://10.0.0.1:8080
dns: {base_domain: tail.lab, override_local_dns: false}
"""
ONE = "oidc:\n  issuer: https://id.example\n  client_id: abc\n"


def load(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> tuple[OIDC, list[str]]:
    path = tmp_path / "config.yaml"
    path.write_text(BASE + text)
    settings, notices = load_settings(path, env or {})
    return settings.oidc, notices


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    return "\n".join(caught.value.problems)


def test_without_an_issuer_there_is_no_provider(tmp_path: Path) -> None:
    assert load(tmp_path, "") == (
        OIDC(providers=(), needed_at_start=True, refresh_interval=timedelta(minutes=15)),
        [],
    )


def test_the_keys_of_old_make_one_provider(tmp_path: Path) -> None:
    text = ONE + (
        "  client_secret: hush\n  scope: [openid, email]\n  extra_params: {Domain_Hint: x, max_age: 0}\n"
        "  allowed_domains: [example.com]\n  pkce: {enabled: true}\n  use_expiry_from_token: true\n"
        "  only_start_if_oidc_is_available: false\n"
    )
    oidc, notices = load(tmp_path, text)
    [provider] = oidc.providers
    assert notices == []
    assert not oidc.needed_at_start
    assert (provider.name, provider.issuer, provider.client_id) == ("oidc", "https://id.example", "abc")
    assert provider.client_secret.reveal() == "hush"
    assert "hush" not in repr(provider)
    assert provider.scope == ("openid", "email")
    assert provider.extra_params == {"Domain_Hint": "x", "max_age": "0"}
    assert provider.pkce_method == "S256"
    assert provider.use_expiry_from_token
    assert (provider.groups_claim, provider.email_verified_required) == ("groups", True)


def test_several_providers_share_what_they_do_not_say(tmp_path: Path) -> None:
    text = """\
oidc:
  allowed_domains: [example.com]
  groups: {claim: realm_access.roles}
  providers:
    - {name: staff, title: Our staff, issuer: "https://a.example", client_id: x, pkce: {enabled: true}}
    - name: guests
      issuer: https://b.example/t
      client_id: y
      client_secret_path: $HOME/secret
      allowed_domains: []
      groups: {prefix: guest-, map: {G1: visitors}}
"""
    oidc, _ = load(tmp_path, text)
    staff, guests = oidc.providers
    assert (staff.title, guests.title) == ("Our staff", "guests")
    assert (staff.allowed_domains, guests.allowed_domains) == (("example.com",), ())
    assert (staff.pkce_method, guests.pkce_method) == ("S256", "")
    assert guests.client_secret_path == "$HOME/secret"
    assert (guests.groups_claim, guests.groups_prefix, guests.groups_map) == (
        "realm_access.roles",
        "guest-",
        {"G1": "visitors"},
    )


def test_the_environment_speaks_json(tmp_path: Path) -> None:
    env = {"HEADSCALE_OIDC_PROVIDERS": '[{"name": "a", "issuer": "https://a.example", "client_id": "x"}]'}
    assert load(tmp_path, "", env)[0].providers[0].name == "a"


def test_plain_http_is_remarked(tmp_path: Path) -> None:
    _, notices = load(tmp_path, "oidc: {issuer: 'http://127.0.0.1:9', client_id: x}\n")
    assert "plain http" in notices[0]


ITEM = "name: a, issuer: 'https://a.example', client_id: x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("oidc: {issuer: 'https://a.example'}", "client_id is needed"),
        ("oidc: {issuer: 'ftp://a', client_id: x}", "must be a https:// URL"),
        ("oidc: {issuer: 'https://a?b', client_id: x}", "must be a https:// URL"),
        (ONE + "  client_secret: a\n  client_secret_path: /b\n", "not both"),
        (ONE + "  pkce: {enabled: true, method: S512}\n", "neither S256 nor plain"),
        (ONE + "  scope: [profile]\n", "must hold `openid`"),
        (ONE + "  groups: {claim: ''}\n", "must name a claim"),
        (ONE + "  groups: {map: {a: 'group:'}}\n", "must be mapped"),
        (ONE + "  extra_params: {a: [b]}\n", "must be text"),
        (ONE + "  refresh_interval: 10ms\n", "1s or more"),
        (ONE + "  providers: [{name: a}]\n", "not both"),
        ("oidc: {providers: [{name: 'A b'}]}", "needs a name"),
        ("oidc: {providers: [{name: a, issuers: x}]}", "unknown key `issuers`"),
        ("oidc: {providers: [{name: a, pkce: {enabled: maybe}}]}", "`pkce.enabled`"),
        ("oidc: {providers: 7}", "must be a list"),
        (f"oidc: {{providers: [{{{ITEM}}}, {{{ITEM}}}]}}", "two providers are called `a`"),
        (
            f"oidc: {{providers: [{{{ITEM}}}, {{name: b, issuer: 'https://a.example/b', client_id: x}}]}}",
            "must not lie within each other",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, text)
