"""The pages on access, with a stand-in that says who visits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from coordinator.services.access_people import AccessPeople
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.timed_tokens import TimedTokens
from coordinator.tailnet.users import User
from coordinator.web.access_pages import FORM_LIFETIME, AccessPages
from tests.coordinator.services.test_access import GUEST, LAPTOP, LEAD, OPS, PHONE, Bench, make_bench
from tests.support.builders import NOW
from tests.support.form_browser import Page

Client = TestClient[web.Request, web.Application]


@dataclass
class Somebody:
    user: User
    node: Node | None = None


@dataclass
class Visit:
    """A browser whose person can be changed at any time."""

    bench: Bench
    client: Client
    who: Somebody | None = None

    def come(self, user: User | None, node: int | None = None) -> None:
        record = self.bench.tailnet.snapshot.record(NodeID(node)) if node is not None else None
        self.who = Somebody(user, record.node if record else None) if user is not None else None

    async def page(self) -> Page:
        async with self.client.get("/access") as answer:
            return Page(answer.status, str(answer.url), await answer.text(), dict(answer.headers))

    async def csrf(self) -> str:
        return (await self.page()).form().fields["csrf"]

    async def post(self, path: str, **fields: str) -> tuple[int, str]:
        if "csrf" not in fields:
            fields["csrf"] = await self.csrf()
        async with self.client.post(f"/access/{path}", data=fields) as answer:
            return answer.status, await answer.text()

    def actions(self) -> list[tuple[str, str, Any]]:
        entries = [entry for commit in self.bench.store.commits for entry in commit.audit]
        return [(entry.action, str(entry.actor), entry.after.get("via")) for entry in entries]


@asynccontextmanager
async def visiting(**changes: Any) -> AsyncIterator[Visit]:
    bench = await make_bench(**changes)

    async def identify(request: web.Request) -> Somebody | None:
        return visit.who

    pages = AccessPages(
        access=bench.access,
        people=AccessPeople(bench.tailnet, bench.access),
        identify=identify,
        form_key=bytes(32),
        clock=bench.clock,
    )
    app = web.Application()
    app.router.add_routes(pages.routes())
    async with TestClient(TestServer(app)) as client:
        visit = Visit(bench, client)
        yield visit
    await bench.tailnet.close()


async def test_ask_answer_and_give_back() -> None:
    async with visiting() as visit:
        visit.come(OPS)
        page = await visit.page()
        assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
        for text in ("user1", "mgmt", "tag:mgmt:22", "1h 30m", "4h", "1 of group:leads", "node1", "node2"):
            assert text in page.text
        assert "Break the glass" not in page.text
        status, text = await visit.post(
            "ask", profile="mgmt", node=str(LAPTOP), reason="<b>disk</b>", ticket="OPS-7", **{"for": "2h"}
        )
        assert (status, "Your request is made." in text) == (200, True)
        assert "&lt;b&gt;disk" in text
        assert "<b>disk" not in text
        (request,) = visit.bench.access.newest_first()
        assert (request.user_id, request.node_id, request.duration.seconds) == (OPS.id, LAPTOP, 7200)
        visit.come(LEAD)
        page = await visit.page()
        assert 'id="approve-1"' in page.text
        assert "Break the glass" in page.text
        status, text = await visit.post("requests/1/approve")
        assert (status, "Your approval counts." in text) == (200, True)
        assert 'id="approve-1"' not in text
        assert visit.bench.sees(LAPTOP, 3)
        visit.come(OPS)
        assert "active" in (await visit.page()).text
        status, text = await visit.post("requests/1/give-back")
        assert (status, "Given back." in text, "ended (given back)" in text) == (200, True, True)
        assert not visit.bench.sees(LAPTOP, 3)
        assert visit.actions()[-4:] == [
            ("access.request", "user:user1", None),
            ("access.approve", "user:user2", "page"),
            ("access.open", "user:user2", None),
            ("access.give_back", "user:user1", None),
        ]


async def test_a_machine_asks_for_itself() -> None:
    async with visiting() as visit:
        visit.come(OPS, PHONE)
        page = await visit.page()
        assert "at node2" in page.text
        assert "node1" not in page.text
        for other in ("", str(LAPTOP)):
            status, _ = await visit.post("ask", profile="mgmt", node=other, reason="x", ticket="OPS-1")
            assert status == 403
        status, _ = await visit.post("ask", profile="mgmt", node=str(PHONE), reason="x", ticket="OPS-1")
        assert status == 200
        assert visit.actions()[-1][:2] == ("access.request", f"node:{PHONE}")


async def test_who_may_not() -> None:
    async with visiting() as visit:
        request = await visit.bench.ask()
        visit.come(GUEST)
        page = await visit.page()
        assert "nothing you may ask for" in page.text
        assert "disk full" not in page.text
        # There is no form on this page, so the proof for one is made by hand.
        csrf = _csrf(visit, GUEST)
        for path in ("requests/1/approve", "requests/1/deny", "requests/1/give-back"):
            assert (await visit.post(path, csrf=csrf))[0] == 403
        assert (await visit.post("ask", csrf=csrf, profile="mgmt"))[0] == 403
        visit.come(OPS)
        status, text = await visit.post("requests/1/approve")
        assert (status, "somebody else has to decide" in text) == (403, True)
        assert visit.bench.access.state(visit.bench.access.get(request.id)) == "requested"
        visit.come(LEAD)
        assert (await visit.post("requests/1/deny"))[0] == 200
        assert visit.bench.access.get(1).denied_by == "user2"


async def test_forms_of_others_are_refused() -> None:
    async with visiting() as visit:
        request = await visit.bench.ask()
        visit.come(OPS)
        of_ops = await visit.csrf()
        visit.come(OPS, PHONE)
        of_phone = await visit.csrf()
        visit.come(LEAD)
        own = await visit.csrf()
        for csrf in ("", "x", of_ops, of_phone, own[:-1]):
            status, text = await visit.post("requests/1/approve", csrf=csrf)
            assert (status, "not from a page of yours" in text) == (403, True)
        visit.bench.clock.forward(hours=12)
        assert (await visit.post("requests/1/approve", csrf=own))[0] == 403
        assert not visit.bench.access.get(request.id).approvals


async def test_nobody_and_the_suspended() -> None:
    async with visiting() as visit:
        assert (await visit.page()).status == 401
        assert (await visit.post("ask", csrf="x"))[0] == 401
        visit.who = Somebody(replace(OPS, suspended_at=NOW))
        page = await visit.page()
        assert (page.status, "suspended" in page.text) == (403, True)
        assert (await visit.post("ask", csrf="x"))[0] == 403


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"for": "soon"}, "not a duration"),
        ({"for": "9" * 30 + "h"}, "duration"),
        ({"for": "9h"}, "at most"),
        ({"node": "x"}, "not an id"),
        ({"node": "9"}, "does not exist"),
        ({"profile": "nope"}, "no access profile"),
        ({"reason": ""}, "needs a reason"),
        ({"reason": "a\0b"}, "cannot be stored"),
        ({"reason": "x" * 3000}, "longer than"),
        ({"ticket": "<i>"}, "&lt;i&gt;"),
    ],
)
async def test_wrong_fields_are_named(fields: dict[str, str], words: str) -> None:
    async with visiting() as visit:
        visit.come(OPS)
        status, text = await visit.post(
            "ask", **{"profile": "mgmt", "reason": "x", "ticket": "OPS-1", **fields}
        )
        assert 400 <= status < 500
        assert words in text
        assert visit.bench.access.newest_first() == []


async def test_bodies_that_are_no_forms() -> None:
    async with visiting() as visit:
        visit.come(OPS)
        for kind in ("application/x-www-form-urlencoded; charset=none", "multipart/form-data", "text/plain"):
            headers = {"Content-Type": kind}
            async with visit.client.post("/access/ask", data=b"\xff\xfe", headers=headers) as answer:
                assert answer.status in (400, 403), kind


async def test_break_glass_from_the_page() -> None:
    async with visiting(breakGlass=["group:ops"]) as visit:
        visit.come(OPS)
        status, _ = await visit.post("ask", profile="mgmt", reason="fire", ticket="OPS-1", break_glass="yes")
        assert status == 200
        assert visit.bench.access.get(1).break_glass


def _csrf(visit: Visit, user: User) -> str:
    return TimedTokens(bytes(32), "form", FORM_LIFETIME).make((user.id, 0), visit.bench.clock())
