"""Pages people log in on, with a real provider at the other end."""

from __future__ import annotations

from pathlib import Path

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.form_browser import form_browser
from tests.support.logins import login_lab


async def test_a_login_lets_a_machine_in(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        client = FakeTailscaled(lab.running.url, hostname="laptop")
        page = await browser.log_in(await lab.ask(client), "ada-1")
        assert page.status == 200
        for text in ("ada@example.com", "laptop", "linux", client.machine_key[:17]):
            assert text in page.text
        assert await lab.nodes() == []
        done = await browser.submit(page)
        assert done.status == 200, done.text
        [node] = await lab.nodes()
        assert node["registerMethod"] == "REGISTER_METHOD_OIDC"
        user = await lab.user()
        assert node["user"]["id"] == user["id"]
        assert user["providerId"] == f"{lab.provider.issuer}/ada-1"
        assert (user["email"], user["displayName"]) == ("ada@example.com", "Ada Lovelace")
        assert user["groups"] == ["group:engineers"]
        assert (await client.register())["MachineAuthorized"]
        await client.close()
