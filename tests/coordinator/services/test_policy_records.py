"""What entries say of policies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coordinator.services import policy_records
from coordinator.services.policy import PolicyService
from coordinator.services.policy_records import PolicyFileRecorder, fingerprint
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.state import AuditEntry, StoredPolicy
from tests.support.tailnets import MemoryStore, make_tailnet

ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
NONE = '{"acls": []}'


def recorded(store: MemoryStore) -> list[AuditEntry]:
    return [entry for commit in store.commits for entry in commit.audit]


async def no_versions(limit: int) -> list[StoredPolicy]:
    return []


async def test_what_becomes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "acls.hujson"
    path.write_text(ALL)
    tailnet, store, _ = make_tailnet(policy=ALL)
    tailnet.start()
    service = PolicyService(tailnet, path=path, database_mode=False, stored=None, versions=no_versions)
    service.load()
    for text in (NONE, "{broken", NONE):
        path.write_text(text)
        await service.reload()
        await asyncio.sleep(0.02)
    loaded, refused = recorded(store)
    assert (loaded.action, str(loaded.actor), loaded.object_name) == (
        "policy.load",
        "system:policy file",
        str(path),
    )
    assert (loaded.before, loaded.after) == (fingerprint(ALL), fingerprint(NONE))
    assert refused.action == "policy.load.refused"
    assert "line 1" in refused.after["problems"][0]
    await service.close()
    await tailnet.close()


async def test_a_stored_policy_names_both_texts_and_the_note() -> None:
    tailnet, store, _ = make_tailnet(policy=ALL)
    tailnet.start()
    service = PolicyService(tailnet, path=None, database_mode=True, stored=None, versions=no_versions)
    actor = Actor(kind="user", name="alice")
    for text in (ALL, NONE):
        await service.set(text, actor=actor, note="why")
    entry = recorded(store)[1]
    assert (entry.action, entry.target, entry.reason) == ("policy.set", "policy:2", "why")
    assert (entry.before, entry.after) == (fingerprint(ALL), fingerprint(NONE) | {"note": "why"})
    await tailnet.close()


async def test_it_is_tried_again_until_the_database_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_records, "RETRY_SECONDS", 0.01)
    tailnet, store, _ = make_tailnet()
    tailnet.start()
    store.broken = True
    recorder = PolicyFileRecorder(tailnet)
    recorder.loaded("x", "", ALL)
    await asyncio.sleep(0.05)
    assert recorded(store) == []
    store.broken = False
    await asyncio.sleep(0.05)
    assert [entry.action for entry in recorded(store)] == ["policy.load"]
    store.broken = True
    recorder.loaded("x", ALL, NONE)
    await recorder.close()
    await tailnet.close()


def test_no_policy_has_no_fingerprint() -> None:
    assert fingerprint("") == {}
    assert fingerprint(ALL)["bytes"] == len(ALL)
