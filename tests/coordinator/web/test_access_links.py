"""The page behind a link, on a whole server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.access import access_server, ask
from tests.support.form_browser import form_browser
from tests.support.server_in_process import Running


async def links_of(server: Running, request_id: str, user: str = "bob") -> dict[str, str]:
    answer = await server.call("POST", f"/api/v1/access/requests/{request_id}/links", json={"user": user})
    found: list[dict[str, str]] = answer["links"]  # type: ignore[assignment]
    return found[0]


async def state_of(server: Running, request_id: str) -> dict[str, Any]:
    return dict((await server.call("GET", f"/api/v1/access/requests/{request_id}"))["request"])  # type: ignore[call-overload]


async def test_a_preview_opens_nothing_the_button_does(tmp_path: Path) -> None:
    async with access_server(tmp_path) as server, form_browser() as browser:
        request = await ask(server, reason="<script>alert(1)</script>")
        links = await links_of(server, request["id"])
        assert links["approve"].startswith(f"{server.url}/access/links/approve.")
        for _ in range(2):
            page = await browser.get(links["approve"])
            assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
        async with browser.session.head(links["approve"]) as preview:
            assert preview.status == 200
        assert "&lt;script&gt;" in page.text
        assert "<script>" not in page.text
        for text in ("tag:mgmt:22", "alice", "laptop", "1h 30m", "You answer as <b>bob</b>"):
            assert text in page.text
        assert (await state_of(server, request["id"]))["state"] == "requested"
        done = await browser.submit(page)
        assert (done.status, "Access is open until" in done.text) == (200, True)
        after = await state_of(server, request["id"])
        assert (after["state"], [each["by"] for each in after["approvals"]]) == ("active", ["bob"])
        again = await browser.submit(page)
        assert (again.status, "it is active" in again.text) == (409, True)
        for link in (links["approve"], links["deny"]):
            assert (await browser.get(link)).status == 409
        entries = (await server.call("GET", "/api/v1/audit?action=access.approve"))["entries"]
        entry = entries[0]  # type: ignore[index]
        assert (entry["actor"], entry["after"]["via"]) == ({"kind": "user", "name": "bob"}, "link")
        assert entry["source"] == "127.0.0.1"


async def test_a_link_that_denies_and_one_that_was_changed(tmp_path: Path) -> None:
    async with access_server(tmp_path) as server, form_browser() as browser:
        request = await ask(server)
        links = await links_of(server, request["id"])
        forged = links["deny"].replace("/deny.", "/approve.")
        for link in (forged, links["approve"][:-1], f"{server.url}/access/links/x"):
            assert (await browser.get(link)).status == 404
            async with browser.session.post(link) as answer:
                assert answer.status == 404
        done = await browser.submit(await browser.get(links["deny"]))
        assert "The request is denied" in done.text
        assert (await state_of(server, request["id"]))["denied_by"] == "bob"
