"""The small HTTP client, against servers that are written byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from coordinator.gateway.http_client import Answer, HttpClient, HttpError, TooLargeError
from derp.certificate import ensure_self_signed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Says the next of its answers to each request; an empty one closes the connection."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.connections = 0
        self.closed = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                if "Content-Length: " in text:
                    text += (
                        await reader.readexactly(int(text.split("Content-Length: ")[1].split()[0]))
                    ).decode()
                self.requests.append(text)
                if not (answer := self.answers.pop(0)):
                    break
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1
        writer.close()


@pytest.fixture
async def listening() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Start a server."""
    running = []

    async def start(*answers: bytes, tls: ssl.SSLContext | None = None) -> Server:
        server = Server(list(answers))
        running.append(await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls))
        server.port = running[-1].sockets[0].getsockname()[1]
        return server

    yield start
    for each in running:
        each.close()


async def ask(
    client: HttpClient,
    target: str = "/x",
    *,
    body: bytes | None = None,
    timeout: float = 5,
    largest: int = 100,
) -> Answer:
    """One request."""
    return await client.request(
        "GET" if body is None else "POST",
        target,
        body=body,
        connect_timeout=5,
        timeout=timeout,
        largest=largest,
    )


Listening = Callable[..., Awaitable[Server]]


async def test_what_is_sent_and_what_is_read(listening: Listening) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    server = await listening(early + OK, chunked, empty)
    client = HttpClient(f"http://127.0.0.1:{server.port}/a b/", {"Authorization": "Bearer t"})
    assert await ask(client, "/x?y=1") == Answer(200, b"ok")
    assert await ask(client, body=b"{}") == Answer(200, b"abc")
    assert await ask(client) == Answer(204, b"")
    assert server.connections == 1
    head = f"Host: 127.0.0.1:{server.port}\r\nAuthorization: Bearer t\r\n"
    assert server.requests[:2] == [
        f"GET /a%20b/x?y=1 HTTP/1.1\r\n{head}\r\n",
        f"POST /a%20b/x HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
    ]
    await client.close()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com", "example.com"),
        ("https://example.com:443", "example.com"),
        ("http://example.com:8080", "example.com:8080"),
        ("http://[::1]", "[::1]"),
        ("https://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_host_is_named(url: str, host: str) -> None:
    assert dict(HttpClient(url, {})._headers)["Host"] == host


@pytest.mark.parametrize("url", ["http:///x", "http://x:99999", "http://[::1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"names no host|[Pp]ort|IPv6"):
        HttpClient(url, {})


async def test_a_kept_connection_that_is_gone_is_not_noticed(listening: Listening) -> None:
    """Closed when the next request arrives: asked again on a new one."""
    server = await listening(OK, b"", OK)
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    assert await ask(client) == Answer(200, b"ok")
    assert await ask(client, body=b"{}") == Answer(200, b"ok")
    assert (server.connections, len(server.requests)) == (2, 3)
    await client.close()


async def test_a_proxy_that_found_a_kept_connection_idle(listening: Listening) -> None:
    idle = b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    server = await listening(OK + idle, OK, idle)
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    assert await ask(client) == await ask(client) == Answer(200, b"ok")
    assert server.connections == 2
    await client.close()
    with pytest.raises(HttpError, match="answered 408"):
        await ask(client)


async def test_a_kept_connection_that_was_closed_is_not_used(listening: Listening) -> None:
    server = await listening(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), OK)
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    assert await ask(client) == await ask(client) == Answer(200, b"ok")
    assert (server.connections, len(server.requests)) == (2, 2)
    await client.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nConnection: close", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nx", "without sending complete"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "Receive buffer too long"),
    ],
)
async def test_what_is_no_answer(listening: Listening, answer: bytes, says: str) -> None:
    server = await listening(answer, b"")
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    with pytest.raises(HttpError, match=says):
        await ask(client)
    await client.close()


async def test_sizes(listening: Listening) -> None:
    long = b"HTTP/1.1 %d X\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    server = await listening(long % 200, long % 500, OK)
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    with pytest.raises(TooLargeError, match="100 bytes"):
        await ask(client)
    assert await ask(client) == Answer(500, b"x" * 200)
    assert await ask(client) == Answer(200, b"ok")
    assert server.connections == 3
    await client.close()


async def test_who_does_not_wait_leaves_no_connection(listening: Listening) -> None:
    server = await listening(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n")
    client = HttpClient(f"http://127.0.0.1:{server.port}", {})
    with pytest.raises(TimeoutError):
        await ask(client, timeout=0.1)
    asking = asyncio.create_task(ask(client))
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.1)
    assert (server.connections, server.closed) == (2, 2)
    await client.close()


async def test_nobody_listens() -> None:
    with pytest.raises(HttpError, match=r"Connect call failed|refused"):
        await ask(HttpClient("http://127.0.0.1:1", {}))
    with pytest.raises(HttpError):
        await ask(HttpClient("http://a..b", {}))


async def test_tls(listening: Listening, tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    ensure_self_signed(certificate, key, ("127.0.0.1",))
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    server = await listening(OK, OK, b"", OK, tls=own)
    address = f"https://127.0.0.1:{server.port}"
    client = HttpClient(address, {}, ssl.create_default_context(cafile=str(certificate)))
    for _ in range(3):
        assert await ask(client) == Answer(200, b"ok")
    assert server.connections == 2
    await client.close()
    with pytest.raises(HttpError, match=r"certificate is not accepted: self.signed"):
        await ask(HttpClient(address, {}))
    elsewhere = HttpClient(address.replace("127.0.0.1", "localhost"), {}, client._tls)
    with pytest.raises(HttpError, match=r"certificate is not accepted: .*localhost"):
        await ask(elsewhere)
