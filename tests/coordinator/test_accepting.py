"""Connections in portions."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web

from coordinator import accepting
from coordinator.accepting import PORTION, Acceptor
from coordinator.listeners import listen
from derp.certificate import ensure_self_signed
from derp.standalone import server_context


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        transport.write(b"hello")  # type: ignore[attr-defined]
        transport.close()


def listening() -> socket.socket:
    return listen(("127.0.0.1", 0), None)


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = await reader.read()
    writer.close()
    return said


async def test_more_than_a_portion_are_all_served_and_others_get_their_turn() -> None:
    sock = listening()
    count = 3 * PORTION
    clients = [socket.create_connection(sock.getsockname()) for _ in range(count)]
    turns: list[int] = []
    made = 0

    def factory() -> asyncio.BaseProtocol:
        nonlocal made
        made += 1
        return Greeting()

    def turn() -> None:
        turns.append(made)
        if made < count:
            asyncio.get_running_loop().call_soon(turn)

    acceptor = Acceptor(sock, factory)
    acceptor.start()
    turn()
    while made < count:
        await asyncio.sleep(0)
    assert any(0 < each < count for each in turns), "others had a turn in between"
    said = await asyncio.to_thread(lambda: [client.recv(5) for client in clients])
    assert said == [b"hello"] * count
    for client in clients:
        client.close()
    acceptor.close()


async def test_it_pauses_when_no_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.05)

    class Exhausted:
        """A listening socket whose process has too many files, for a while."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock, self.refusals = sock, 2

        def fileno(self) -> int:
            return self.sock.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self.sock.accept()

        def close(self) -> None:
            self.sock.close()

    sock = listening()
    acceptor = Acceptor(Exhausted(sock), Greeting)  # type: ignore[arg-type]
    acceptor.start()
    assert await asyncio.wait_for(greeted(sock.getsockname()[1]), 5) == b"hello"
    acceptor.close()


async def test_closed_it_takes_nobody() -> None:
    sock = listening()
    port = sock.getsockname()[1]
    acceptor = Acceptor(sock, Greeting)
    acceptor.start()
    assert await greeted(port) == b"hello"
    acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        await greeted(port)


async def test_tls_and_who_does_not_speak_it(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    ensure_self_signed(certificate, key, ["127.0.0.1"])

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="fine")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    assert runner.server is not None
    sock = listening()
    port = sock.getsockname()[1]
    acceptor = Acceptor(sock, runner.server, server_context(certificate, key))
    acceptor.start()
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        async with (
            ClientSession(connector=TCPConnector(ssl=False)) as session,
            session.get(f"https://127.0.0.1:{port}/") as response,
        ):
            assert await response.text() == "fine"
    acceptor.close()
    await runner.cleanup()
