"""/machine/map and /machine/register over the real transport, by a client of our own making."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

LOGOUT = "1970-01-01T00:02:03Z"
Clients = list[FakeTailscaled]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path) as running:
        yield running


@pytest.fixture
async def clients(server: Running) -> AsyncIterator[Clients]:
    """Three registered clients of one user."""
    key = await server.auth_key(reusable=True)
    made = [FakeTailscaled(server.url, hostname=f"n{number}") for number in (1, 2, 3)]
    for client in made:
        await client.connect()
        assert (await client.register(key))["MachineAuthorized"]
        # Whoever has never polled is shown to nobody.
        assert await client.lite_update() == 200
    yield made
    for client in made:
        await client.close()


async def next_of(maps: AsyncIterator[dict], *names: str) -> dict:  # type: ignore[type-arg]
    """The next message with one of the members."""
    async with asyncio.timeout(5):
        async for message in maps:
            if any(name in message for name in names):
                return message
    raise AssertionError("the stream ended")


async def test_a_poll_is_full_and_then_differences(clients: Clients) -> None:
    one, two, _ = clients
    async with one.map_stream() as maps:
        first = await next_of(maps, "Node")
        assert {peer["Name"] for peer in first["Peers"]} == {"n2.tail.lab.", "n3.tail.lab."}
        assert await two.lite_update(Endpoints=["192.0.2.2:41641"]) == 200
        patch = await next_of(maps, "PeersChangedPatch")
        assert patch["PeersChangedPatch"][0]["Endpoints"] == ["192.0.2.2:41641"]


async def test_who_does_not_ask_for_zstd_gets_plain_json(clients: Clients) -> None:
    one, two, _ = clients
    status, _, body = await one.request("POST", "/machine/map", one.map_request(Compress=""))
    assert (status, int.from_bytes(body[:4], "little"), body[4:5]) == (200, len(body) - 4, b"{")
    async with one.map_stream(Compress="") as maps:
        assert len((await next_of(maps, "Node"))["Peers"]) == 2
        assert await two.lite_update(Endpoints=["192.0.2.2:41641"]) == 200
        patch = await next_of(maps, "PeersChangedPatch")
        assert patch["PeersChangedPatch"][0]["Endpoints"] == ["192.0.2.2:41641"]


async def test_a_one_shot_ends(clients: Clients) -> None:
    assert len((await clients[0].one_shot_map())["Peers"]) == 2


async def test_a_lite_update_does_not_disturb_the_stream(clients: Clients) -> None:
    """Pitfall: lite updates that wait behind the stream."""
    one, two, _ = clients
    async with one.map_stream() as maps:
        await next_of(maps, "Node")
        for number in range(5):
            async with asyncio.timeout(2):
                assert await one.lite_update(Endpoints=[f"192.0.2.1:{number + 1}"]) == 200
        await two.lite_update(Endpoints=["192.0.2.2:9"])
        assert await next_of(maps, "PeersChangedPatch")


async def test_reordered_endpoints_are_told_to_nobody(clients: Clients) -> None:
    """Pitfall: rebroadcasting every endpoint order is a storm."""
    one, two, _ = clients
    await two.lite_update(Endpoints=["192.0.2.2:1", "192.0.2.2:2"])
    async with one.map_stream() as maps:
        await next_of(maps, "Node")
        await two.lite_update(Endpoints=["192.0.2.2:2", "192.0.2.2:1"])
        await two.lite_update(Endpoints=["192.0.2.2:3"])
        patch = await next_of(maps, "PeersChangedPatch")
        assert patch["PeersChangedPatch"][0]["Endpoints"] == ["192.0.2.2:3"]


async def test_several_noise_connections_of_one_node(clients: Clients, server: Running) -> None:
    """Pitfall: clients from 1.90 on open one for each authority; the second must not end the first."""
    one, two, _ = clients
    async with one.map_stream() as maps:
        await next_of(maps, "Node")
        first, one.channel = one.channel, None
        await one.connect()
        assert await one.lite_update() == 200
        await two.lite_update(Endpoints=["192.0.2.2:7"])
        assert await next_of(maps, "PeersChangedPatch")
        assert first is not None
        first.close()


async def test_a_node_key_of_another_machine_is_a_tombstone(clients: Clients, server: Running) -> None:
    """Pitfall: a NodeKey without a look at the machine key lets any machine act for any other."""
    thief = FakeTailscaled(server.url)
    await thief.connect()
    async with thief.map_stream(NodeKey=clients[0].node_key) as maps:
        told = await next_of(maps, "Node")
    assert "Peers" not in told
    assert told["Node"]["Machine"] == thief.machine_key
    assert told["Node"]["Addresses"] == []
    assert await thief.lite_update(NodeKey=clients[0].node_key, Endpoints=["192.0.2.66:1"]) == 404
    await thief.close()


async def test_a_deleted_node_gets_a_tombstone(clients: Clients, server: Running) -> None:
    """Pitfall: after a 404 a client goes on as if nothing had happened, for ever."""
    one, two, _ = clients
    async with two.map_stream() as watching:
        await next_of(watching, "Node")
        async with one.map_stream() as maps:
            await next_of(maps, "Node")
            await server.call("DELETE", "/api/v1/node/1")
            assert (await next_of(watching, "PeersRemoved"))["PeersRemoved"] == [1]
        async with one.map_stream() as maps:
            told = await next_of(maps, "Node")
            assert told["Node"]["KeyExpiry"] < "2001"
            assert told["DERPMap"]["Regions"]


async def test_an_expired_node_is_told_on_its_stream(clients: Clients, server: Running) -> None:
    async with clients[0].map_stream() as maps:
        await next_of(maps, "Node")
        await server.call("POST", "/api/v1/node/1/expire")
        told = await next_of(maps, "Node")
        assert told["Node"]["Expired"]
        assert sorted(told["PeersRemoved"]) == [2, 3]
        await server.call("POST", "/api/v1/node/1/expire", json={"disableExpiry": True})
        assert len((await next_of(maps, "Node"))["PeersChanged"]) == 2


async def test_logout_is_seen_at_once(clients: Clients) -> None:
    one, two, _ = clients
    async with one.map_stream() as maps:
        await next_of(maps, "Node")
        await two.register(Expiry=LOGOUT)
        (peer,) = (await next_of(maps, "PeersChanged"))["PeersChanged"]
        assert (peer["ID"], peer["Expired"], peer["Online"]) == (2, True, False)


async def test_old_clients_get_no_pin(clients: Clients, server: Running) -> None:
    """Pitfall: one DERP map for all: clients before 1.82 then have no relay."""
    old = (await clients[0].one_shot_map(Version=113))["DERPMap"]["Regions"]["999"]["Nodes"][0]
    new = (await clients[0].one_shot_map(Version=142))["DERPMap"]["Regions"]["999"]["Nodes"][0]
    assert "CertName" not in old
    assert new["CertName"].startswith("sha256-raw:")


async def test_a_hostinfo_without_netinfo_keeps_the_home_relay(clients: Clients) -> None:
    one, two, _ = clients
    await two.lite_update(Hostinfo={"Hostname": "n2", "NetInfo": {"PreferredDERP": 999}})
    await two.lite_update(Hostinfo={"Hostname": "n2"})
    peers = {peer["ID"]: peer for peer in (await one.one_shot_map())["Peers"]}
    assert peers[2]["HomeDERP"] == 999


async def test_a_new_host_name_renames_the_node(clients: Clients) -> None:
    one, two, _ = clients
    async with one.map_stream() as maps:
        await next_of(maps, "Node")
        await two.lite_update(Hostinfo={"Hostname": "Renamed.local"})
        message = await next_of(maps, "PeersChanged")
        while message["PeersChanged"][0]["Name"] != "renamed.tail.lab.":
            message = await next_of(maps, "PeersChanged")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/machine/map", b"", 400),
        ("/machine/map", b"{", 400),
        ("/machine/map", b'{"Version":50}', 400),
        ("/machine/map", b'{"Version":142,"NodeKey":""}', 400),
        ("/machine/map", b'{"Version":142,"NodeKey":7}', 400),
        ("/machine/register", b"[]", 400),
        ("/machine/register", b'{"Version":142,"NodeKey":"x"}', 400),
        ("/machine/unknown", b"", 404),
    ],
)
async def test_junk_is_answered_briefly_and_others_go_on(
    clients: Clients, path: str, body: bytes, status: int
) -> None:
    answered, headers, text = await clients[0].request("POST", path, body)
    assert answered == status
    assert len(text) < 300
    assert headers["content-type"].startswith("text/plain")
    assert await clients[0].lite_update() == 200


async def test_too_old_clients_are_told_in_words_they_show(server: Running) -> None:
    client = FakeTailscaled(server.url, version=100)
    await client.connect()
    assert "too old" in (await client.register("x"))["Error"]
    await client.close()


async def test_a_wrong_key_is_an_answer_and_not_an_http_error(server: Running) -> None:
    """Pitfall: HTTP errors on register are retried silently and never shown."""
    client = FakeTailscaled(server.url)
    await client.connect()
    assert "copy the whole text" in (await client.register("hskey-auth-wrong"))["Error"]
    await client.close()


async def test_everything_is_found_again_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        client = FakeTailscaled(server.url)
        await client.connect()
        await client.register(await server.auth_key())
        before = (await client.one_shot_map())["Node"]
        await client.close()
        url = server.url
    async with running_server(tmp_path) as server:
        assert server.url != url
        again = FakeTailscaled(server.url)
        again.machine_private, again.node_private = client.machine_private, client.node_private
        await again.connect()
        assert again.server_key == client.server_key
        assert (await again.register())["MachineAuthorized"]
        after = (await again.one_shot_map())["Node"]
        await again.close()
    assert [before[name] for name in ("ID", "Name", "Addresses", "Key")] == [
        after[name] for name in ("ID", "Name", "Addresses", "Key")
    ]
