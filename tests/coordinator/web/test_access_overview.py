"""The page as HTML: names of people and machines are texts."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.access_people import AccessPeople
from coordinator.web.access_overview import AccessOverview
from tests.coordinator.services.test_access import LAPTOP, LEAD, OPS, make_bench
from tests.support.builders import make_node


async def test_everything_is_escaped() -> None:
    bench = await make_bench()
    await bench.ask(reason="<i>r</i>", node_id=LAPTOP)
    overview = AccessOverview(bench.access, AccessPeople(bench.tailnet, bench.access))
    node = make_node(9, given_name="<i>n</i>")
    body = overview.body(replace(OPS, email="<i>@x"), node, '"><i>', sign_out=True)
    body += overview.body(LEAD, None, "token", sign_out=False)
    assert "<i>" not in body
    assert 'action="/access/requests/1/approve"' in body
    assert 'action="/access/requests/1/give-back"' in body
    assert body.count("/access/sign-out") == 1
    assert "<script" not in body
    await bench.tailnet.close()


async def test_many_requests_are_cut() -> None:
    bench = await make_bench()
    for _ in range(30):
        await bench.ask()
    overview = AccessOverview(bench.access, AccessPeople(bench.tailnet, bench.access))
    assert overview.body(OPS, None, "t", sign_out=False).count("Give back</button>") == 25
    await bench.tailnet.close()
