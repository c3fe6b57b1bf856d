"""The services of a server, without its listeners."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from acl import PolicyError
from coordinator.assembly import ServerKeys, Services, open_store, start_services
from coordinator.settings.load import load_settings
from coordinator.tailnet.actors import Actor

ACTOR = Actor(kind="socket", name="test")


async def services(directory: Path, stack: AsyncExitStack) -> Services:
    config = directory / "config.yaml"
    config.write_text(
        "server_url: http://127.0.0.1:8080\nderp: {server: {enabled: true}}\n"
        "dns: {base_domain: tail.lab, override_local_dns: false}\npolicy: {path: acls.hujson}\n"
    )
    settings, _ = load_settings(config, {})
    store = await open_store(settings.database, stack, bytes(32))
    return await start_services(settings, stack, store, ServerKeys(noise="", relay_certificate=None))


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "acls.hujson").write_text("{}")
    async with AsyncExitStack() as stack:
        first = await services(tmp_path, stack)
        assert await first.healthy()
        await first.users.create("ada", actor=ACTOR)
    async with AsyncExitStack() as stack:
        second = await services(tmp_path, stack)
        assert [user.name for user in second.users.list()] == ["ada"]


async def test_a_wrong_policy_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "acls.hujson").write_text('{"acls": [{}]}')
    async with AsyncExitStack() as stack:
        with pytest.raises(PolicyError):
            await services(tmp_path, stack)
