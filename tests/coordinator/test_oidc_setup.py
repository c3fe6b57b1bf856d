"""From settings to providers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coordinator.oidc_setup import provider_config, redirect_uri
from coordinator.settings.load import load_settings
from coordinator.settings.oidc import OIDCProvider
from coordinator.tailnet.errors import InvalidError, UnavailableError
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.form_browser import form_browser
from tests.support.ports import free_port
from tests.support.server_in_process import running_server


def settings(tmp_path: Path, more: str) -> OIDCProvider:
    path = tmp_path / "config.yaml"
    path.write_text(
        "server_url: http://10.0.0.1:8080\ndns: {base_domain: tail.lab, override_local_dns: false}\n"
        f"oidc:\n  issuer: https://id.example\n  client_id: abc\n{more}"
    )
    return load_settings(path, {})[0].oidc.providers[0]


def test_the_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS", str(tmp_path))
    wanted = settings(tmp_path, "  client_secret_path: $SECRETS/oidc\n")
    with pytest.raises(InvalidError, match="cannot read"):
        provider_config(wanted)
    (tmp_path / "oidc").write_text("\n")
    with pytest.raises(InvalidError, match="is empty"):
        provider_config(wanted)
    (tmp_path / "oidc").write_text("hush\n")
    config = provider_config(wanted)
    assert config.client_secret == "hush"
    assert "hush" not in repr(config)


async def test_a_provider_that_is_away(tmp_path: Path) -> None:
    away = {"issuer": f"http://127.0.0.1:{free_port()}", "client_id": "x"}
    with pytest.raises(UnavailableError, match="identity provider oidc"):
        async with running_server(tmp_path, None, json.dumps({"oidc": away})[1:-1]):
            raise AssertionError("the server must not start")
    away["only_start_if_oidc_is_available"] = False  # type: ignore[assignment]
    folder = tmp_path / "lenient"
    folder.mkdir()
    section = json.dumps({"oidc": away})[1:-1]
    async with running_server(folder, None, section) as running, form_browser() as browser:
        client = FakeTailscaled(running.url)
        page = await browser.get(str((await client.register())["AuthURL"]))
        assert (page.status, "coordinator auth register" in page.text) == (200, True)
        await client.close()


def test_each_provider_has_an_address_of_its_own() -> None:
    assert redirect_uri("https://vpn.example/", "oidc") == "https://vpn.example/oidc/callback"
    assert redirect_uri("https://vpn.example", "staff") == "https://vpn.example/oidc/callback/staff"
