"""Plain WireGuard on PostgreSQL: many at once, the same at once, and a server that dies in the middle of it.

The pool of the last test is exactly as large as what is asked for in the end, so that one leaked address
would be one too few.
"""

from __future__ import annotations

import asyncio
import random
import socket
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from coordinator.wireguard.wire import REPORT_PATH
from tests.support.ports import free_port
from tests.support.postgres import USER, Cluster, running_cluster
from tests.support.server_process import Ports, Server
from tests.support.wireguard_records import public_key

pytestmark = pytest.mark.postgres
PEERS = "/api/v1/wireguard/peers"
POLICY = {
    "acls": [],
    "access": {"profiles": {"db": {"src": ["ada@"], "dst": ["10.1.2.3:5432"], "maxDuration": "8h"}}},
}
DECLARED = """\
gateways:
  - {name: dc2, host: h, pools: [10.92.0.0/24]}
peers:
"""
Answer = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def server(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    name = f"w{uuid.uuid4().hex}"
    cluster.create_database(name)
    place = {"host": "127.0.0.1", "port": cluster.port, "name": name, "user": USER, "pass": ""}
    made = Server(
        folder=tmp_path,
        address="127.0.0.1",
        ports=Ports(http=free_port(), relay_tls=free_port(), stun=free_port(kind=socket.SOCK_DGRAM)),
        policy=POLICY,
        overrides={
            "database": {"type": "postgres", "postgres": place},
            "wireguard": {"address_rest": "0s"},
            "log": {"level": "info", "format": "text"},
        },
    )
    made.start()
    made.create_user("ada")
    try:
        yield made
    finally:
        made.stop()
        cluster.drop_database(name)
    assert "Traceback" not in made.log_text()


@asynccontextmanager
async def calls(server: Server):  # type: ignore[no-untyped-def]
    """`call(method, path, body)` over the socket, as many at once as anybody wants."""
    connector = aiohttp.UnixConnector(str(server.socket_path), limit=0)
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:

        async def call(method: str, path: str, body: object = None) -> Answer:
            async with session.request(method, path, json=body) as answer:
                return answer.status, await answer.json(content_type=None)

        yield call


async def gateway(server: Server, name: str, *pools: str) -> None:
    """A gateway that has reported its key."""
    made = server.cli(
        *("wireguard", "gateways", "create", name, "--host", "vpn.example.com"),
        *(part for pool in pools for part in ("--pool", pool)),
    )
    headers = {"Authorization": f"Bearer {made['token']}"}
    body = {"version": "", "now": "2026-01-01T00:00:00Z", "publicKeys": {"key-1": public_key(f"gw {name}")}}
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.post(REPORT_PATH, json=body) as answer,
    ):
        assert answer.status == 204


def wanted(number: int, **more: Any) -> dict[str, Any]:
    """A standing peer with a preshared key, and a name that can be taken by one alone."""
    return {
        "publicKey": public_key(number),
        "name": f"peer-{number}",
        "service": "lab",
        "permanent": True,
        "reason": "test",
        "presharedKey": True,
        **more,
    }


def peers(server: Server, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.cli("wireguard", "peers", "list", *arguments) or []
    return found


def twice(values: Iterable[str]) -> list[str]:
    """What is there more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


async def test_two_hundred_at_once_and_each_three_times(server: Server) -> None:
    await gateway(server, "one", "10.90.0.0/24", "fd00:90::/64")
    await gateway(server, "two", "10.90.0.0/24", "fd00:90::/64")
    bodies = [wanted(number, gateway=("one", "two")[number % 2]) for number in range(200)] * 3
    random.Random(1).shuffle(bodies)
    async with calls(server) as call:
        answers = await asyncio.gather(*(call("POST", PEERS, body) for body in bodies))
    assert Counter(status for status, _ in answers) == {201: 200, 200: 400}
    configs: dict[str, list[Any]] = {}
    for body, (_, answer) in zip(bodies, answers, strict=True):
        configs.setdefault(body["name"], []).append(answer["config"])
    assert all(each == same[0] for same in configs.values() for each in same)
    listed = peers(server)
    assert len(listed) == 200
    assert twice(address for peer in listed for address in peer["addresses"]) == []
    assert Counter(peer["gateway"] for peer in listed) == {"one": 100, "two": 100}


async def test_an_exhausted_pool_refuses_the_rest_and_loses_nothing(server: Server) -> None:
    await gateway(server, "small", "10.91.0.0/28")
    async with calls(server) as call:
        for _ in range(3):
            bodies = [wanted(number) for number in range(40)]
            answers = await asyncio.gather(*(call("POST", PEERS, body) for body in bodies))
            assert Counter(status for status, _ in answers) == {201: 13, 503: 27}
            refused = next(answer for status, answer in answers if status == 503)
            assert "give the gateway another pool" in refused["detail"]
            gone = [call("DELETE", f"{PEERS}/{peer['name']}") for peer in peers(server)]
            assert {status for status, _ in await asyncio.gather(*gone)} == {200}


async def test_rotate_revoke_and_apply_twice(server: Server, tmp_path: Path) -> None:
    await gateway(server, "one", "10.90.0.0/24")
    async with calls(server) as call:
        made = await asyncio.gather(*(call("POST", PEERS, wanted(number)) for number in range(20)))
        assert {status for status, _ in made} == {201}
        rotations = [
            call("POST", f"{PEERS}/peer-{number}/rotate", {"publicKey": public_key(100 + number)})
            for number in range(20)
        ] * 2
        rotated = await asyncio.gather(*rotations)
        assert {status for status, _ in rotated} == {200}
        assert [answer for _, answer in rotated[:20]] == [answer for _, answer in rotated[20:]]
        secrets = {answer["config"]["preshared_key"] for _, answer in rotated}
        # The same new key for two peers at once: one of them gets it.
        both = [
            call("POST", f"{PEERS}/peer-{number}/rotate", {"publicKey": public_key("x")}) for number in (1, 2)
        ]
        assert sorted(status for status, _ in await asyncio.gather(*both)) == [200, 409]
        again = await asyncio.gather(
            *(call("POST", f"{PEERS}/peer-{number}/rotate-preshared", {}) for number in range(20))
        )
        secrets |= {answer["config"]["preshared_key"] for _, answer in again}
        assert len(secrets) == 40
        revoked = [call("DELETE", f"{PEERS}/peer-{number}") for number in (5, 5, 6)]
        # The second of two finds no living peer of that name any more, or one that has just ended.
        assert Counter(status for status, _ in await asyncio.gather(*revoked))[200] == 2
    server.kill9()
    server.start()
    assert len(peers(server)) == 18
    file = tmp_path / "declared.yaml"
    lines = [
        f"  - {{name: d{number}, publicKey: {public_key(500 + number)}, gateway: dc2, service: s, "
        "permanent: true, reason: r, presharedKey: true}\n"
        for number in range(50)
    ]
    file.write_text(DECLARED + "".join(lines))
    first, second = (server.cli("wireguard", "apply", str(file)) for _ in range(2))
    assert (len(first["changes"]), second["changes"]) == (51, [])
    file.write_text(DECLARED + "".join(lines[:10]))
    assert len(server.cli("wireguard", "apply", str(file))["changes"]) == 40
    assert len(peers(server, "--gateway", "dc2")) == 10


async def provision_until_killed(
    server: Server, bodies: list[dict[str, Any]], delay: float
) -> dict[str, dict[str, Any]]:
    """Ask for all at once, and kill the server meanwhile; what was answered, by name."""
    answered: dict[str, dict[str, Any]] = {}

    async with calls(server) as call:

        async def ask(body: dict[str, Any]) -> None:
            try:
                status, answer = await call("POST", PEERS, body)
            except (aiohttp.ClientError, OSError, ValueError):
                return
            if status in (200, 201):
                answered[body["name"]] = answer["config"]

        asking = [asyncio.create_task(ask(body)) for body in bodies]
        await asyncio.sleep(delay)
        server.kill9()
        await asyncio.gather(*asking)
    return answered


async def test_killed_again_and_again_while_it_provisions(server: Server) -> None:
    await gateway(server, "one", "10.90.0.0/24")
    chance = random.Random(7)
    bodies = [wanted(number) for number in range(253)]
    known: dict[str, dict[str, Any]] = {}
    partial = 0
    for _ in range(8):
        missing = [body for body in bodies if body["name"] not in known]
        batch = missing[:60] + bodies[:5]
        answered = await provision_until_killed(server, batch, chance.uniform(0.02, 0.25))
        server.start()
        for name, config in answered.items():
            # Once answered, the answer stays: same address, same preshared key.
            assert known.setdefault(name, config) == config
        stored = {peer["name"]: peer["addresses"] for peer in peers(server)}
        assert known.keys() <= stored.keys()
        assert twice(address for addresses in stored.values() for address in addresses) == []
        partial += 0 < len(answered) < len(batch)
    assert partial >= 1, "the server was never killed in the middle"
    async with calls(server) as call:
        answers = await asyncio.gather(*(call("POST", PEERS, body) for body in bodies))
        assert {status for status, _ in answers} <= {200, 201}
        for body, (_, answer) in zip(bodies, answers, strict=True):
            assert known.get(body["name"], answer["config"]) == answer["config"]
        status, refused = await call("POST", PEERS, wanted(999))
        assert (status, "give the gateway another pool" in refused["detail"]) == (503, True)
    listed = peers(server)
    assert len(listed) == 253
    assert twice(address for peer in listed for address in peer["addresses"]) == []
    created = server.cli("audit", "list", "--action", "wgpeer.create", "--limit", "1000")
    assert twice(entry["object"]["name"] for entry in created) == []
    assert len(created) == 253


async def test_a_database_that_drops_connections_meanwhile(server: Server, cluster: Cluster) -> None:
    """Whoever got no answer asks again; in the end everybody has one address, and none is lost."""
    await gateway(server, "one", "10.90.0.0/25")
    database = yaml.safe_load(server.config_path.read_text())["database"]["postgres"]["name"]
    drop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    bodies = [wanted(number) for number in range(125)]
    known: dict[str, Any] = {}
    statuses: Counter[int] = Counter()
    async with calls(server) as call:
        for start in range(0, 125, 25):
            asking = [asyncio.create_task(call("POST", PEERS, body)) for body in bodies[start : start + 25]]
            await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.run, drop)
            for body, (status, answer) in zip(bodies[start:], await asyncio.gather(*asking), strict=False):
                statuses[status] += 1
                if status == 201:
                    known[body["name"]] = answer["config"]
        assert statuses.keys() <= {201, 503}, statuses
        for body in bodies:
            status, answer = await call("POST", PEERS, body)
            assert status in (200, 201), answer
            assert known.setdefault(body["name"], answer["config"]) == answer["config"]
        assert (await call("POST", PEERS, wanted(999)))[0] == 503
    listed = peers(server)
    assert len(listed) == 125
    assert twice(address for peer in listed for address in peer["addresses"]) == []


async def test_killed_while_devices_enrol(server: Server) -> None:
    """A token is spent if, and only if, its peer is there; a device that asks again gets its answer."""
    await gateway(server, "one", "10.90.0.0/24")
    tokens = [
        server.cli("wireguard", "tokens", "create", "--user", "ada", "--profile", "db")["secret"]
        for _ in range(9)
    ]

    async def enrol(number: int) -> int:
        headers = {"Authorization": f"Bearer {tokens[number]}"}
        body = {"publicKey": public_key(number), "presharedKey": True}
        try:
            async with (
                aiohttp.ClientSession(server.url, headers=headers) as session,
                session.post(PEERS, json=body) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    for delay in (0.01, 0.02, 0.05):
        asking = [asyncio.create_task(enrol(number)) for number in range(9)]
        await asyncio.sleep(delay)
        server.kill9()
        await asyncio.gather(*asking)
        server.start()
        spent = {each["peer"] for each in server.cli("wireguard", "tokens", "list") if each["used_at"]}
        assert spent == {peer["id"] for peer in peers(server)}
    assert {await enrol(number) for number in range(9)} <= {200, 201}
    assert {await enrol(number) for number in range(9)} == {200}
    assert len(peers(server)) == 9
