"""Access profiles declared beside the policy: part of what is in force, from the commit on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from acl import PolicyError
from coordinator.services.access_rules import Asked
from coordinator.services.declared_profiles import DeclaredProfiles
from coordinator.services.policy import PolicyService
from coordinator.services.wireguard_apply import Applied
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.declared_profiles import DeclaredProfile, body_text
from coordinator.tailnet.errors import CoordinatorError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.state import StoredPolicy, TailnetState
from coordinator.wireguard.declared import read_declaration
from tests.coordinator.services.test_access import LAPTOP, OPS, SERVER, make_bench
from tests.support.builders import NOW, make_user
from tests.support.tailnets import make_tailnet
from tests.support.wireguard_bench import ACTOR, ADA, PROFILES, Bench, policy_text, wireguard_bench
from tests.support.wireguard_records import public_key

NOTHING = "profiles: {}\n"
WEB = """\
profiles:
  web:
    src: ["group:ops"]
    dst: ["10.30.0.0/24:443"]
    proto: tcp
    maxDuration: 4h
"""
PHONE = f"""\
gateways: [{{name: gw, host: vpn.example.com, pools: [10.90.0.0/24]}}]
peers: [{{name: phone, publicKey: {public_key(1)}, gateway: gw, user: user1, profile: web}}]
"""


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with wireguard_bench() as made:
        yield made


async def run(bench: Bench, text: str, **more: Any) -> Applied:
    return await bench.wireguard.apply.apply(text, **{"dry_run": False, "actor": ACTOR, **more})


def said(applied: Applied) -> list[tuple[str, str, str, str]]:
    return [(each.verb, each.kind, each.name, each.detail) for each in applied.changes]


def names(bench: Bench) -> list[str]:
    return [profile.name.text for profile in bench.access.rules.profiles()]


async def ask(bench: Bench, profile: str = "web") -> AccessRequest:
    asked = Asked(profile=profile, user=ADA, plain=True)
    return await bench.access.request(asked, actor=ACTOR)


async def test_twice_changes_nothing_and_a_dry_run_neither(bench: Bench) -> None:
    before = names(bench)
    dry = await run(bench, WEB + PHONE, dry_run=True)
    assert said(dry) == [
        ("create", "profile", "web", ""),
        ("create", "gateway", "gw", ""),
        ("create", "peer", "phone", ""),
    ]
    assert names(bench) == before
    assert bench.store.commits == []
    real = await run(bench, WEB + PHONE)
    assert said(real) == said(dry)
    assert len(bench.store.commits) == 1
    assert names(bench) == [*before, "web"]
    assert bench.policy.text == policy_text()
    assert said(await run(bench, WEB + PHONE)) == []
    assert len(bench.store.commits) == 1


async def test_each_change_is_on_record(bench: Bench) -> None:
    await run(bench, WEB)
    changed = WEB.replace("443", "8443").replace("    proto: tcp\n", "")
    assert said(await run(bench, changed)) == [("change", "profile", "web", "dst, proto")]
    assert said(await run(bench, NOTHING)) == [("delete", "profile", "web", "")]
    entries = bench.audited("profile.")
    assert [(each.action, each.target, each.actor) for each in entries] == [
        ("profile.create", "profile:web", ACTOR),
        ("profile.change", "profile:web", ACTOR),
        ("profile.delete", "profile:web", ACTOR),
    ]
    first, second, third = entries
    assert (first.before, first.after["dst"]) == ({}, ["10.30.0.0/24:443"])
    assert (second.before["proto"], second.after["dst"]) == ("tcp", ["10.30.0.0/24:8443"])
    assert (third.before["dst"], third.after) == (["10.30.0.0/24:8443"], {})
    stored = bench.store.commits[0].put_declared["web"]
    assert (stored.declared_by, stored.since) == (str(ACTOR), bench.clock())


async def test_mistakes_have_their_place_in_the_file(bench: Bench) -> None:
    own = WEB + '  db: {src: ["group:ops"], dst: ["10.0.0.1:22"]}\n'
    with pytest.raises(PolicyError) as caught:
        await run(bench, own + PHONE)
    assert [str(each).partition(" (")[0] for each in caught.value.problems] == [
        "line 7, column 3: the policy has an access profile `db` of its own, in line 1, column 126",
    ]
    with pytest.raises(PolicyError) as caught:
        await run(bench, WEB.replace("group:ops", "group:op") + PHONE)
    assert str(caught.value) == (
        'line 3, column 11: [access] group not found: "group:op" (did you mean `group:ops`?)'
    )
    assert bench.store.commits == []
    assert "web" not in names(bench)


async def test_all_or_nothing(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="line 8, column 9: peer `phone`: the policy has no access prof"):
        await run(bench, WEB + PHONE.replace("profile: web", "profile: wob"))
    assert bench.store.commits == []
    assert "web" not in names(bench)
    bench.store.broken = True
    with pytest.raises(CoordinatorError):
        await run(bench, WEB)
    bench.store.broken = False
    assert "web" not in names(bench)
    assert said(await run(bench, WEB)) == [("create", "profile", "web", "")]
    with pytest.raises(CoordinatorError, match="peer `phone`: the policy has no access profile `web`"):
        await run(bench, PHONE)
    with pytest.raises(InvalidError, match="gre"):
        await run(bench, WEB.replace("tcp", "gre").replace(":443", ":*") + PHONE)
    assert "web" in names(bench)


async def test_it_takes_the_right_to_write_the_policy(bench: Bench) -> None:
    with pytest.raises(ForbiddenError, match="policy:write"):
        await run(bench, WEB, may_declare_profiles=False)
    await run(bench, WEB)
    assert said(await run(bench, WEB, may_declare_profiles=False)) == []
    for text in (NOTHING, WEB.replace("443", "22")):
        with pytest.raises(ForbiddenError):
            await run(bench, text, may_declare_profiles=False)
    assert "web" in names(bench)


async def test_an_edit_of_the_policy_respects_them(bench: Bench) -> None:
    await run(bench, WEB)
    without_group = policy_text({"db": {"src": ["user1@"], "dst": ["10.1.2.3:5432"]}}).replace(
        '"group:ops": ["user1@"]', ""
    )
    with pytest.raises(PolicyError) as caught:
        await bench.policy.set(without_group, actor=ACTOR)
    assert str(caught.value) == (
        'access profile `web` (declared with `wireguard apply`): [access] group not found: "group:ops"'
    )
    with pytest.raises(PolicyError, match="has an access profile `web` of its own"):
        await bench.policy.check(policy_text({"web": PROFILES["db"]}))
    await run(bench, NOTHING)
    await bench.policy.set(policy_text({"web": PROFILES["db"]}), actor=ACTOR)
    assert names(bench) == ["web"]


async def test_windows_open_narrow_and_end(bench: Bench) -> None:
    await run(bench, WEB + PHONE)
    request = await ask(bench)
    assert request.state(bench.clock()) == "active"
    assert bench.wished() == [public_key(1)]
    peer = bench.wireguard.book.peer("phone")
    assert bench.wireguard.reach.of(peer).routes == ("10.30.0.0/24",)
    assert [each.profile for each in bench.tailnet.world.policy.windows.values()] == ["web"]
    await run(bench, WEB.replace("10.30.0.0/24", "10.30.0.7") + PHONE)
    assert bench.wireguard.reach.of(peer).routes == ("10.30.0.7/32",)
    assert bench.wished() == [public_key(1)]
    await run(bench, WEB.replace("group:ops", "user2@") + PHONE)
    await bench.access.windows.tick()
    assert bench.access.get(request.id).end_reason == "policy"
    assert bench.wished() == []


async def test_a_window_in_the_tailnet_opens_without_compiling_anything() -> None:
    made = await make_bench(dst=["tag:mgmt:443"])
    service, index = made.policy, made.tailnet.world.policy
    text = 'profiles: {web: {src: ["group:ops"], dst: ["tag:mgmt:%s"], maxDuration: 2h}}'

    async def declare(ports: str) -> None:
        wanted = read_declaration(text % ports).profiles
        async with service.declaring(wanted):
            await made.tailnet.execute(lambda directory: service.declared.put(directory, wanted, ACTOR))

    await declare("22")
    engine = index.engine
    asked = await made.access.request(Asked(profile="web", user=OPS), actor=ACTOR)
    assert made.sees(LAPTOP, SERVER)
    assert index.engine is engine
    opened = str(index.filter_rules(SERVER))
    await declare("80")
    assert made.sees(LAPTOP, SERVER)
    assert str(index.filter_rules(SERVER)) != opened
    async with service.declaring(()):
        await made.tailnet.execute(lambda directory: service.declared.put(directory, (), ACTOR))
    assert not made.sees(LAPTOP, SERVER)
    await made.access.windows.tick()
    assert made.access.get(asked.id).end_reason == "policy"
    await service.close()
    await made.tailnet.close()


async def test_what_is_declared_no_more_ends_like_what_left_the_policy(bench: Bench) -> None:
    approved = '    approvers: ["user2@"]\n'
    await run(bench, WEB)
    open_one = await ask(bench)
    await run(bench, WEB + approved)
    pending = await ask(bench)
    assert pending.state(bench.clock()) == "requested"
    in_policy = await ask(bench, "db")
    await run(bench, NOTHING)
    await bench.policy.set(policy_text({}), actor=ACTOR)
    await bench.access.windows.tick()
    assert bench.access.get(open_one.id).end_reason == "policy"
    assert bench.access.get(in_policy.id).end_reason == "policy"
    with pytest.raises(NotFoundError):
        await bench.access.approve(pending.id, by=None, actor=ACTOR)


async def test_a_commit_that_took_long_counts_all_the_same(bench: Bench) -> None:
    text = body_text({"src": ["user1@"], "dst": ["10.1.0.0/24:22"]})
    profile = DeclaredProfile(name="late", body=text, declared_by="x", since=NOW)
    await bench.tailnet.execute(lambda directory: directory.put_declared(profile))
    async with asyncio.timeout(2):
        while "late" not in names(bench):
            await asyncio.sleep(0.01)
    await bench.tailnet.execute(lambda directory: directory.delete_declared("late"))
    async with asyncio.timeout(2):
        while "late" in names(bench):
            await asyncio.sleep(0.01)
    await bench.policy.close()


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


def stored(**profiles: dict[str, Any]) -> dict[str, DeclaredProfile]:
    return {
        name: DeclaredProfile(name=name, body=body_text(value), declared_by="x", since=NOW)
        for name, value in profiles.items()
    }


FIT = {"src": ["group:ops"], "dst": ["10.1.0.0/24:22"]}


async def test_a_file_that_does_not_fit_them_at_start_leaves_them_out(tmp_path: Path) -> None:
    path = tmp_path / "acls.hujson"
    path.write_text(policy_text({"own": FIT}))
    state = TailnetState(
        users={make_user(1).id: make_user(1)},
        declared=stored(own=FIT, fit=FIT, other={**FIT, "src": ["group:none"]}, new={"later": True}),
    )
    tailnet, store, _ = make_tailnet(state, policy=None)
    declared = DeclaredProfiles(tailnet, state.declared)
    service = PolicyService(
        tailnet, path=path, database_mode=False, stored=None, versions=no_versions, declared=declared
    )
    service.load()
    assert service.written is not None
    assert [(each.name.text, each.declared) for each in service.written.access_profiles] == [
        ("own", False),
        ("fit", True),
    ]
    tailnet.start()
    wanted = read_declaration('profiles: {fit: {src: ["group:ops"], dst: ["10.1.0.0/24:22"]}}').profiles
    async with service.declaring(wanted) as policy:
        assert policy is not None
        changes = await tailnet.execute(lambda directory: declared.put(directory, wanted, ACTOR))
    assert [(each.verb, each.name) for each in changes] == [
        ("delete", "own"),
        ("delete", "other"),
        ("delete", "new"),
    ]
    assert store.commits[-1].delete_declared == {"own", "other", "new"}
    assert service.written is policy
    path.write_text("{")
    with pytest.raises(PolicyError):
        service.load()
    await service.close()
    await tailnet.close()


async def test_a_file_that_was_refused_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "acls.hujson"
    path.write_text(policy_text({}))
    state = TailnetState(users={make_user(1).id: make_user(1)}, declared=stored(web=FIT))
    tailnet, _, _ = make_tailnet(state, policy=None)
    declared = DeclaredProfiles(tailnet, state.declared)
    service = PolicyService(
        tailnet, path=path, database_mode=False, stored=None, versions=no_versions, declared=declared
    )
    service.load()
    tailnet.start()
    service.start()
    path.write_text(policy_text({"web": FIT}))
    await asyncio.sleep(0.3)
    assert service.get()[0] == policy_text({})
    async with service.declaring(()):
        await tailnet.execute(lambda directory: declared.put(directory, (), ACTOR))
    async with asyncio.timeout(2):
        while service.get()[0] != policy_text({"web": FIT}):
            await asyncio.sleep(0.02)
    await service.close()
    await tailnet.close()


async def test_without_a_policy_there_is_nothing_to_join() -> None:
    tailnet, _, _ = make_tailnet(TailnetState(declared=stored(web=FIT)), policy=None)
    declared = DeclaredProfiles(tailnet, stored(web=FIT))
    service = PolicyService(
        tailnet, path=None, database_mode=True, stored=None, versions=no_versions, declared=declared
    )
    service.load()
    tailnet.start()
    with pytest.raises(InvalidError, match="no policy is set"):
        async with service.declaring(read_declaration(WEB).profiles):
            pass
    with pytest.raises(PolicyError):
        await service.set("", actor=ACTOR)
    async with service.declaring(()):
        await tailnet.execute(lambda directory: declared.put(directory, (), ACTOR))
    assert declared.stored == {}
    assert service.written is None
    await service.close()
    await tailnet.close()


async def test_what_cannot_be_put_in_force_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt, failures = bench.tailnet.adopt_policy, [RuntimeError("surprise")]

    def fail_once(draft: Any) -> None:
        if failures:
            raise failures.pop()
        adopt(draft)

    monkeypatch.setattr(bench.tailnet, "adopt_policy", fail_once)
    assert said(await run(bench, WEB)) == [("create", "profile", "web", "")]
    async with asyncio.timeout(2):
        while "web" not in names(bench):
            await asyncio.sleep(0.01)
    await bench.policy.close()


async def test_what_does_not_fit_after_a_late_commit_can_be_declared_again(bench: Bench) -> None:
    await run(bench, WEB)
    unfit = DeclaredProfile(
        name="late", body=body_text({**FIT, "src": ["group:none"]}), declared_by="x", since=NOW
    )
    await bench.tailnet.execute(lambda directory: directory.put_declared(unfit))
    await asyncio.sleep(0.2)
    assert "late" not in names(bench)
    late = WEB + '  late: {src: ["%s"], dst: ["10.1.0.0/24:22"]}\n'
    with pytest.raises(PolicyError, match=r"line 7, column 16: .*group not found"):
        await run(bench, late % "group:none")
    assert said(await run(bench, late % "group:ops")) == [("change", "profile", "late", "src")]
    assert names(bench)[-2:] == ["late", "web"]
    await bench.policy.close()
