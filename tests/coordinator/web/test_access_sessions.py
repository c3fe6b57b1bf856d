"""Sessions on the pages, from a login at a real provider."""

from __future__ import annotations

from pathlib import Path

from tests.support.form_browser import form_browser
from tests.support.logins import login_lab

POLICY = """{
  "acls": [],
  "tagOwners": {"tag:mgmt": []},
  "access": {"profiles": {"mgmt": {
    "src": ["autogroup:member"], "dst": ["tag:mgmt:22"], "approvers": ["boss@"],
  }}},
}"""


async def test_log_in_ask_and_sign_out(tmp_path: Path) -> None:
    async with login_lab(tmp_path, policy=POLICY) as lab, form_browser() as browser:
        client = await lab.join(browser, "ada-1")
        url = f"{lab.running.url}/access"
        page = await browser.log_in(url, "ada-1")
        assert (page.status, page.url) == (200, url), page.text
        assert "You are <b>ada@example.com</b>" in page.text
        cookie = next(each for each in browser.session.cookie_jar if each.key == "coordinator_access")
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/access", True, "Lax")
        # The first form of the page signs out, so the other one is sent by hand.
        csrf = page.form().fields["csrf"]
        form = {"csrf": csrf, "profile": "mgmt", "reason": "disk"}
        async with browser.session.post(f"{url}/ask", data=form) as answer:
            assert "Your request is made." in await answer.text()
        (request,) = (await lab.running.call("GET", "/api/v1/access/requests"))["requests"]  # type: ignore[misc]
        assert (request["user"], request["reason"]) == ("ada@example.com", "disk")
        async with form_browser() as stranger:
            assert "/interaction/" in (await stranger.get(url)).url
            async with stranger.session.post(f"{url}/ask", data=form) as answer:
                assert answer.status == 401
        kept = cookie.value
        left = await browser.submit(page)
        assert (left.status, "signed out here" in left.text) == (200, True)
        assert not any(each.key == "coordinator_access" for each in browser.session.cookie_jar)
        await lab.running.call("POST", f"/api/v1/user/{(await lab.user())['id']}/suspend")
        async with form_browser() as old:
            old.session.cookie_jar.update_cookies({"coordinator_access": kept})
            suspended = await old.get(url)
            assert (suspended.status, "suspended" in suspended.text) == (403, True)
            old.session.cookie_jar.update_cookies({"coordinator_access": kept[:-1]})
            assert "/interaction/" in (await old.get(url)).url
        await client.close()


async def test_logins_begun_are_limited(tmp_path: Path) -> None:
    limits = {"address_burst": 3, "address_per_minute": 1}
    more = {"rate_limits": limits}
    async with login_lab(tmp_path, policy=POLICY, more=more) as lab, form_browser() as browser:
        url = f"{lab.running.url}/access"
        statuses = [(await browser.get(url, follow=False)).status for _ in range(4)]
    assert statuses == [302, 302, 302, 429]
