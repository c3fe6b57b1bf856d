"""Identities over the API."""

from __future__ import annotations

from pathlib import Path

from tests.support.server_in_process import running_server


async def test_link_list_unlink(tmp_path: Path) -> None:
    async with running_server(tmp_path) as running:
        await running.call("POST", "/api/v1/user", json={"name": "ada"})
        path, identity = "/api/v1/user/1/identity", "https://id.example/1"
        linked = await running.call("POST", path, json={"identity": identity})
        assert linked["user"]["providerId"] == identity  # type: ignore[index]
        listed = await running.call("GET", path)
        [view] = listed["identities"]  # type: ignore[misc]
        assert (view["identity"], view["offlineAccess"], view["refreshedAt"]) == (identity, False, None)
        await running.call("DELETE", f"{path}?identity={identity}")
        assert (await running.call("GET", path))["identities"] == []
        async with running.api() as session:
            for method, where, body, status in (
                ("POST", path, {}, 400),
                ("POST", path, {"identity": "ada"}, 400),
                ("DELETE", path, {}, 404),
                ("GET", "/api/v1/user/9/identity", None, 404),
            ):
                async with session.request(method, where, json=body) as answer:
                    assert answer.status == status, await answer.text()
