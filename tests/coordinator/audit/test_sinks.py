"""Sinks against real files, sockets and an HTTP server."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from coordinator.audit import sinks
from coordinator.audit.sinks import FileSink, SinkError, SyslogSink, WebhookSink, syslog_message
from coordinator.audit.view import entry_line
from tests.support.audit_entries import make_chain
from tests.support.ports import free_port

CHAIN, _ = make_chain(4)
LINES = [entry_line(entry) for entry in CHAIN]


async def test_a_file_gets_a_line_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    await sink.send(CHAIN[:2])
    await sink.send(CHAIN[2:])
    assert path.read_text().splitlines() == LINES
    assert path.stat().st_mode & 0o777 == 0o640


async def test_a_file_may_be_renamed_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    await sink.send(CHAIN[:2])
    path.rename(tmp_path / "audit.jsonl.1")
    await sink.send(CHAIN[2:])
    assert path.read_text().splitlines() == LINES[2:]
    assert (tmp_path / "audit.jsonl.1").read_text().splitlines() == LINES[:2]


async def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(LINES[0] + "\n" + LINES[1][:20])
    await FileSink(path).send(CHAIN[1:2])
    assert path.read_text().splitlines() == [LINES[0], LINES[1][:20], LINES[1]]


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"missing.*No such file"):
        await FileSink(tmp_path / "missing" / "audit.jsonl").send(CHAIN)


def test_the_form_of_a_syslog_message() -> None:
    text = syslog_message(CHAIN[0], "host.example").decode()
    found = re.fullmatch(r"<109>1 (\S+) host\.example coordinator \d+ node\.rename - (\{.*\})", text)
    assert found is not None
    assert found[1] == CHAIN[0].at
    assert json.loads(found[2])["hash"] == CHAIN[0].hash
    refused = CHAIN[0]._replace(action="node.register.refused")
    assert syslog_message(refused, "h").startswith(b"<108>1 ")


async def test_syslog_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        await SyslogSink("unix", path, "host name").send(CHAIN[:2])
        assert [server.recv(65536) for _ in range(2)] == [
            syslog_message(entry, "hostname") for entry in CHAIN[:2]
        ]
    with pytest.raises(SinkError, match="refused"):
        await SyslogSink("unix", path, "h").send(CHAIN)


async def test_syslog_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        await SyslogSink("udp", ("127.0.0.1", server.getsockname()[1]), "h").send(CHAIN)
        assert [server.recv(65536) for _ in CHAIN] == [syslog_message(entry, "h") for entry in CHAIN]


async def test_syslog_over_tcp_counts_octets() -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await SyslogSink("tcp", ("127.0.0.1", port), "h").send(CHAIN)
    messages = [syslog_message(entry, "h") for entry in CHAIN]
    assert received == [b"".join(b"%d %s" % (len(message), message) for message in messages)]


async def test_a_syslog_server_may_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "CLOSE_SECONDS", 0.05)
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await SyslogSink("tcp", ("127.0.0.1", server.sockets[0].getsockname()[1]), "h").send(CHAIN)
        done.set()


async def test_a_syslog_server_that_is_away_or_resets() -> None:
    with pytest.raises(SinkError, match="tcp"):
        await SyslogSink("tcp", ("127.0.0.1", free_port()), "h").send(CHAIN)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        with pytest.raises(SinkError):
            await SyslogSink("tcp", ("127.0.0.1", server.sockets[0].getsockname()[1]), "h").send(CHAIN * 50)


async def test_a_webhook_gets_lines_and_a_token() -> None:
    received: list[tuple[str | None, str, str]] = []
    status = 204

    async def take(request: web.Request) -> web.Response:
        body = await request.text()
        received.append((request.headers.get("Authorization"), request.content_type, body))
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/in", take)
    async with TestServer(app) as server:
        url = str(server.make_url("/in"))
        await WebhookSink(url, "s3cret").send(CHAIN)
        assert received == [("Bearer s3cret", "application/x-ndjson", "\n".join(LINES) + "\n")]
        for status in (302, 400, 503):
            with pytest.raises(SinkError, match=f"answered {status}"):
                await WebhookSink(url).send(CHAIN)
    with pytest.raises(SinkError, match=r"127\.0\.0\.1"):
        await WebhookSink(url).send(CHAIN)
