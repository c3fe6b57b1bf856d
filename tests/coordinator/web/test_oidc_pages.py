"""Pages people log in on, with a real provider at the other end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yarl import URL

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.form_browser import FormBrowser, form_browser
from tests.support.logins import OFFLINE, LoginLab, ada, login_lab
from tests.support.ports import free_port
from tests.support.server_in_process import running_server


def cookies(browser: FormBrowser, url: str) -> dict[str, str]:
    jar = browser.session.cookie_jar.filter_cookies(URL(url))
    return {name: morsel.value for name, morsel in jar.items()}


async def at_the_provider(lab: LoginLab, browser: FormBrowser, subject: str = "ada-1") -> str:
    """Log in at the provider; the callback URL it sends the browser to, not opened yet."""
    client = FakeTailscaled(lab.running.url)
    page = await browser.get(await lab.ask(client))
    await client.close()
    page = await browser.submit(page, login=subject, password="x")
    page = await browser.submit(page, follow=False)
    while True:
        where = page.headers["Location"]
        if "/oidc/callback" in where:
            return where
        page = await browser.get(where, follow=False)


async def test_a_login_lets_a_machine_in(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        client = FakeTailscaled(lab.running.url, hostname="laptop<b>")
        page = await browser.log_in(await lab.ask(client), "ada-1")
        assert page.status == 200
        assert page.headers["Cache-Control"] == "no-store"
        for text in ("ada@example.com", "laptop&lt;b&gt;", "linux", client.machine_key[:17]):
            assert text in page.text
        assert await lab.nodes() == []
        done = await browser.submit(page)
        assert done.status == 200, done.text
        [node] = await lab.nodes()
        assert node["registerMethod"] == "REGISTER_METHOD_OIDC"
        assert node["expiry"] is None
        user = await lab.user()
        assert node["user"]["id"] == user["id"]
        assert user["providerId"] == f"{lab.provider.issuer}/ada-1"
        assert (user["email"], user["displayName"]) == ("ada@example.com", "Ada Lovelace")
        assert user["groups"] == ["group:engineers"]
        assert (await client.register())["MachineAuthorized"]
        # The question was answered.
        again = await browser.submit(page)
        assert again.status == 401
        await client.close()


async def test_the_browser_that_began_is_the_one_that_ends(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser, form_browser() as other:
        callback = await at_the_provider(lab, browser)
        stolen = await other.get(callback)
        assert (stolen.status, "did not begin this login" in stolen.text) == (401, True)
        first = await browser.get(callback)
        assert first.status == 200
        for path in ("?state=x", "", "?state=" + "a" * 64):
            assert (await browser.get(f"{lab.running.url}/oidc/callback{path}")).status == 401
        # A state is good once, even where its cookies are still there.
        callback = await at_the_provider(lab, other)
        kept = cookies(other, callback)
        assert (await other.get(callback)).status == 200
        other.session.cookie_jar.update_cookies(kept, URL(callback))
        assert "over or too old" in (await other.get(callback)).text


async def test_a_confirmation_needs_the_page_and_its_cookie(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser, form_browser() as other:
        page = await browser.get(await at_the_provider(lab, browser))
        form = page.form()
        assert (await other.submit(page)).status == 401
        assert (await browser.submit(page, csrf="x" * 64)).status == 401
        wrong = f"{lab.running.url}/register/confirm/hskey-authreq-000000000000000000000000"
        async with browser.session.post(wrong, data=form.fields) as answer:
            assert answer.status == 401
        assert await lab.nodes() == []
        assert (await browser.submit(page)).status == 200
        assert len(await lab.nodes()) == 1


async def test_what_the_provider_refuses_is_said(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        client = FakeTailscaled(lab.running.url)
        sent = await browser.get(await lab.ask(client), follow=False)
        state = parse_qs(urlsplit(sent.headers["Location"]).query)["state"][0]
        base = f"{lab.running.url}/oidc/callback?state={state}"
        refused = await browser.get(
            f"{base}&iss={lab.provider.issuer}&error=access_denied&error_description=<i>no"
        )
        assert (refused.status, "&lt;i&gt;no" in refused.text) == (401, True)
        await client.close()


async def test_an_answer_of_another_issuer_is_refused(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        callback = URL(await at_the_provider(lab, browser))
        page = await browser.get(str(callback.update_query(iss="https://evil.example")))
        assert (page.status, "another provider" in page.text) == (401, True)


async def test_filters_and_unknown_links(tmp_path: Path) -> None:
    async with login_lab(tmp_path, oidc={"allowed_groups": ["admins"]}) as lab, form_browser() as browser:
        page = await lab.refused("ada-1")
        assert (page.status, "none of the groups" in page.text) == (401, True)
        assert (await lab.running.call("GET", "/api/v1/user"))["users"] == []
        assert (await browser.get(f"{lab.running.url}/register/hskey-authreq-0")).status == 404


async def test_an_address_that_is_taken_needs_a_link(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        made = await lab.running.call(
            "POST", "/api/v1/user", json={"name": "old", "email": "ada@example.com"}
        )
        page = await lab.refused("ada-1")
        identity = f"{lab.provider.issuer}/ada-1"
        assert page.status == 409
        assert f"users link --identifier 1 {identity}" in page.text
        path = f"/api/v1/user/{made['user']['id']}/identity"  # type: ignore[index]
        await lab.running.call("POST", path, json={"identity": identity})
        client = await lab.join(browser, "ada-1")
        assert (await lab.user())["id"] == "1"
        await client.close()


async def test_expiry_from_the_token(tmp_path: Path) -> None:
    async with login_lab(tmp_path, oidc={"use_expiry_from_token": True}) as lab, form_browser() as browser:
        client = await lab.join(browser, "ada-1")
        [node] = await lab.nodes()
        assert node["expiry"] is not None
        await client.close()


async def test_groups_and_departure_reach_the_policy_and_the_stream(tmp_path: Path) -> None:
    policy = '{"acls": [{"action": "accept", "src": ["group:vpn"], "dst": ["*:*"]}]}'
    settings: dict[str, Any] = OFFLINE | {
        "groups": {"claim": "realm_access.roles", "map": {"vpn": "vpn"}},
        "refresh_interval": "1s",
    }
    async with login_lab(tmp_path, policy=policy, oidc=settings) as lab, form_browser() as browser:
        server = FakeTailscaled(lab.running.url, hostname="server")
        await server.register(await lab.running.auth_key("bob"))
        await server.lite_update()
        client = await lab.join(browser, "ada-1")
        async with client.map_stream() as maps, asyncio.timeout(20):
            first = await anext(maps)
            assert [peer["Name"].split(".")[0] for peer in first["Peers"]] == ["server"]
            lab.provider.set_account("ada-1", **ada() | {"realm_access": {"roles": []}})
            async for document in maps:
                if document.get("PeersRemoved"):
                    break
            assert (await lab.user())["groups"] == []
            lab.provider.remove_account("ada-1")
            async for document in maps:
                expiry = (document.get("Node") or {}).get("KeyExpiry", "")
                if expiry and not expiry.startswith("0001"):
                    break
        assert (await lab.user())["suspended"]
        await client.close()
        await server.close()


async def test_signing_out_goes_to_the_provider(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as lab, form_browser() as browser:
        page = await browser.get(await at_the_provider(lab, browser))
        done = await browser.submit(page)
        sent = await browser.submit(done, follow=False)
        assert sent.status == 303
        where = URL(sent.headers["Location"])
        assert str(where.origin()) == lab.provider.issuer
        assert where.query["post_logout_redirect_uri"] == f"{lab.running.url}/oidc/signed-out"
        asked = await browser.get(str(where))
        assert asked.status == 200
        left = await browser.submit(asked, logout="yes")
        assert (left.url, left.status) == (f"{lab.running.url}/oidc/signed-out", 200)
        # Without a session there is nothing to end at the provider.
        assert (await browser.submit(done, follow=False)).headers["Location"] == "/oidc/signed-out"


async def test_several_providers_give_a_choice(tmp_path: Path) -> None:
    async with login_lab(tmp_path) as first:
        providers = [
            dict(first.provider.configuration()) | {"name": "staff", "title": "Our <staff>"},
            {"name": "away", "title": "Away", "issuer": f"http://127.0.0.1:{free_port()}", "client_id": "x"},
        ]
        section = json.dumps({"oidc": {"providers": providers, "only_start_if_oidc_is_available": False}})[
            1:-1
        ]
        folder = tmp_path / "second"
        folder.mkdir()
        async with running_server(folder, None, section) as running, form_browser() as browser:
            client = FakeTailscaled(running.url)
            url = str((await client.register())["AuthURL"])
            page = await browser.get(url)
            assert "Our &lt;staff&gt;" in page.text
            assert "Away" not in page.text
            assert (await browser.get(f"{url}?provider=away")).text == page.text
            sent = await browser.get(f"{url}?provider=staff", follow=False)
            assert sent.headers["Location"].startswith(first.provider.issuer)
            asked = parse_qs(urlsplit(sent.headers["Location"]).query)
            assert asked["redirect_uri"] == [f"{running.url}/oidc/callback/staff"]
            # What comes to another provider's address, or to that of a single one, is nobody's answer.
            for path in ("/away", "", "/staff/"):
                sent = await browser.get(f"{url}?provider=staff", follow=False)
                state = parse_qs(urlsplit(sent.headers["Location"]).query)["state"][0]
                wrong = await browser.get(f"{running.url}/oidc/callback{path}?state={state}&code=c")
                assert wrong.status == 404 if path == "/staff/" else "another provider" in wrong.text
            await client.close()


async def test_an_ssh_session_is_confirmed_by_whose_it_is(tmp_path: Path) -> None:
    policy = """{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}], "tagOwners": {"tag:box": []},
      "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["tag:box"], "users": ["root"]}]}"""
    async with login_lab(tmp_path, policy=policy) as lab, form_browser() as browser, form_browser() as other:
        lab.provider.set_account("bob-1", **ada() | {"email": "bob@example.com", "preferred_username": "bob"})
        source = await lab.join(browser, "ada-1", "source")
        box = FakeTailscaled(lab.running.url, hostname="box")
        await box.register(await lab.running.auth_key("root", aclTags=["tag:box"]))
        path = "/machine/ssh/action/from/1/to/2?ssh_user=root&local_user=root"
        _, _, body = await box.request("GET", path)
        link = next(word for word in json.loads(body)["message"].split() if "/auth/" in word)
        page = await other.log_in(link, "bob-1")
        assert (page.status, "machine of yours" in page.text) == (403, True)
        page = await browser.log_in(link, "ada-1")
        assert "root@box" in page.text
        assert (await browser.submit(page)).status == 200
        status, _, body = await box.request("GET", f"{path}&auth_id={link.rpartition('/')[2]}")
        assert (status, json.loads(body)["accept"]) == (200, True)
        await source.close()
        await box.close()
