"""The upgrade request: what is refused, with which words, and what a raw client sees."""

from __future__ import annotations

import asyncio
import base64

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.control.upgrade import BadUpgradeError, read_initiation, read_websocket_initiation
from tests.coordinator.control.running import SERVER_PUBLIC, RunningServer, echo, running, until
from tests.support.fake_tailscaled import Initiator, private_key

UPGRADE = {"Upgrade": "tailscale-control-protocol", "Connection": "upgrade"}


def initiation() -> bytes:
    return Initiator(private_key(), SERVER_PUBLIC).initiation


def test_reads_the_header() -> None:
    text = base64.b64encode(initiation()).decode()
    headers = {"Upgrade": "Tailscale-Control-Protocol", "X-Tailscale-Handshake": text}
    assert read_initiation(make_mocked_request("POST", "/ts2021", headers)).version == 142


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "reverse proxy"),
        ({"Upgrade": "websocket"}, "reverse proxy"),
        (UPGRADE, "missing `X-Tailscale-Handshake`"),
        ({**UPGRADE, "X-Tailscale-Handshake": "%%%"}, "not standard base64"),
        ({**UPGRADE, "X-Tailscale-Handshake": "ü"}, "not standard base64"),
        ({**UPGRADE, "X-Tailscale-Handshake": "AAAA"}, "3 bytes"),
    ],
)
def test_refusals(headers: dict[str, str], words: str) -> None:
    with pytest.raises(BadUpgradeError, match=words):
        read_initiation(make_mocked_request("POST", "/ts2021", headers))


def test_get_is_for_websockets() -> None:
    with pytest.raises(BadUpgradeError, match="POST"):
        read_websocket_initiation(make_mocked_request("GET", "/ts2021", {}))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200).filter(lambda text: "\n" not in text and "\r" not in text))
def test_any_header_text(text: str) -> None:
    request = make_mocked_request("POST", "/ts2021", {**UPGRADE, "X-Tailscale-Handshake": text})
    with pytest.raises(BadUpgradeError):
        read_initiation(request)


async def test_over_http_a_refusal_is_plain_text() -> None:
    async with running(echo) as at, ClientSession() as session:
        url = f"http://127.0.0.1:{at.port}/ts2021"
        for headers in ({}, {**UPGRADE, "X-Tailscale-Handshake": base64.b64encode(bytes(101)).decode()}):
            async with session.post(url, headers=headers) as response:
                assert response.status == 400
                assert response.content_type == "text/plain"
        assert at.server.stats.failed_handshakes == 2
        assert at.server.connections == 0


async def raw_dial(at: RunningServer, behind: bytes = b"") -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    text = base64.b64encode(initiation()).decode()
    writer.write(
        b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
        b"Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: " + text.encode() + b"\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if behind:
        writer.write(behind)
    rest = await reader.read(1 << 16)
    while behind and (more := await reader.read(1 << 16)):
        rest += more
    return head + rest, writer


async def test_the_answer_on_the_wire() -> None:
    async with running(echo) as at:
        answer, writer = await raw_dial(at)
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: tailscale-control-protocol",
            b"Connection: upgrade",
        ]
        assert rest[:3] == bytes.fromhex("02 0030") and rest[51] == 4
        writer.close()
        await until(lambda: at.server.connections == 0)


async def test_garbage_after_the_handshake_closes_only_that_connection() -> None:
    async with running(echo) as at:
        good = await at.dial()
        _, writer = await asyncio.wait_for(raw_dial(at, b"\x04\x00\x20" + bytes(32)), 5)
        writer.close()
        status, _, _ = await good.request("GET", "/still-there")
        assert status == 200 and at.server.connections == 1
        good.close()
