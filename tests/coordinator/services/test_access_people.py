"""Who may ask, and whose answer is waited for."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.access_people import AccessPeople
from tests.coordinator.services.test_access import GUEST, LAPTOP, LEAD, OPS, OTHER_LEAD, make_bench
from tests.support.builders import NOW


async def test_people_and_their_questions() -> None:
    bench = await make_bench(approvals=2)
    people = AccessPeople(bench.tailnet, bench.access)
    assert [profile.name.text for profile in people.profiles(OPS)] == ["mgmt"]
    assert [profile.name.text for profile in people.profiles(LEAD)] == ["mgmt"], "by break-glass"
    assert people.profiles(GUEST) == []
    assert people.profiles(replace(OPS, suspended_at=NOW)) == []
    assert [node.given_name for node in people.machines(OPS)] == ["node1", "node2"]
    assert (people.login(LEAD.id), people.login(99), people.user(99)) == ("user2", "user-99", None)
    request = await bench.ask()
    whose = [request, replace(request, node_id=LAPTOP), replace(request, node_id=99)]
    assert [people.machine(each) for each in (*whose, replace(request, mint=("tag:ci",)))] == [
        "all machines", "node1", "node 99, which is gone", "a machine from outside, as tag:ci"
    ]  # fmt: skip
    assert people.opens(request) == "tag:mgmt:22"
    assert people.opens(replace(request, profile="gone")) == ""
    assert people.approvers(request) == [LEAD, OTHER_LEAD]
    assert people.waiting_for(LEAD) == [request]
    assert people.waiting_for(OPS) == people.waiting_for(GUEST) == []
    assert people.requests_of(OPS) == [request]
    request = await bench.approve(request)
    assert people.approvers(request) == [OTHER_LEAD]
    assert people.has_approved(LEAD, request)
    request = await bench.approve(request, OTHER_LEAD)
    assert people.approvers(request) == []
    await bench.tailnet.close()
