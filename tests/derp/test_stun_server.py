"""stun_server: real sockets on loopback, both families, junk in between."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from derp import stun
from derp.stun_server import serve_stun

TRANSACTION = bytes(range(12))


@pytest.fixture(params=["127.0.0.1", "::1"])
def client(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((request.param, 0))
        except OSError:
            pytest.fail(f"the loopback address {request.param} is missing on this machine")
        sock.setblocking(False)
        yield sock


async def ask(sock: socket.socket, port: int, *datagrams: bytes) -> tuple[str, int] | None:
    loop = asyncio.get_running_loop()
    for datagram in datagrams:
        sock.sendto(datagram, (sock.getsockname()[0], port))
    answer = await asyncio.wait_for(loop.sock_recv(sock, 2048), 5)
    return stun.parse_binding_response(answer, TRANSACTION)


async def test_answers_both_families_and_ignores_junk(client: socket.socket) -> None:
    server = await serve_stun("", 0)
    ports = {port for _, port in server.addresses}
    assert len(ports) == 1
    junk = (b"x", b"x" * 40, b"x" * 1200)
    seen = await ask(client, ports.pop(), *junk, stun.binding_request(TRANSACTION))
    assert seen == client.getsockname()[:2]
    assert (server.answered, server.ignored) == (1, 3)
    await server.close()
    assert server.addresses == ()


async def test_one_address() -> None:
    server = await serve_stun("127.0.0.1", 0)
    assert [host for host, _ in server.addresses] == ["127.0.0.1"]
    await server.close()


async def test_a_taken_port_is_an_error() -> None:
    server = await serve_stun("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await serve_stun("127.0.0.1", server.addresses[0][1])
    await server.close()
