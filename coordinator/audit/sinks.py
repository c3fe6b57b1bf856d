"""Where entries go besides the database: a file, syslog, an HTTPS endpoint.

A sink takes a batch as a whole or raises `SinkError`; the same batch then comes again. What it gets is the
entry's JSON line (`audit.view`), whose id and hash let a receiver leave out what it has already.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import aiohttp

from coordinator.audit.entry import SealedEntry
from coordinator.audit.view import entry_line

SEND_SECONDS = 30.0
CLOSE_SECONDS = 2.0
"""How long a syslog server may take to close its side: until then it may still refuse."""
FACILITY_LOG_AUDIT = 13
SEVERITY_WARNING, SEVERITY_NOTICE = 4, 5
"""Source: RFC 5424, section 6.2.1."""
MAX_MSGID = 32
_FILE_MODE = 0o640


class SinkError(Exception):
    """The batch was not taken; the text says why."""


class Sink(Protocol):
    """Takes entries, all of a batch or none as far as the medium can tell."""

    name: str
    """Under which its cursor is kept."""

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """Deliver a batch; SinkError when that failed."""


class FileSink:
    """JSON lines at the end of a file.

    The file is opened for each batch, so that it may be renamed by a rotation at any time; a batch is on disk
    before the cursor moves. A line that a crash cut off is ended first, the batch then follows in full.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """Append and sync."""
        data = "".join(entry_line(entry) + "\n" for entry in entries).encode("ascii")
        try:
            await asyncio.to_thread(_append, self._path, data)
        except OSError as error:
            raise SinkError(f"{self._path}: {error.strerror or error}") from error


class SyslogSink:
    """RFC 5424 messages to a unix datagram socket, over UDP, or over TCP with octet counting (RFC 6587).

    Syslog acknowledges nothing: a datagram counts as delivered once it was sent, a TCP batch once the server
    has closed the connection without an error, or has kept it open silently for `CLOSE_SECONDS`.
    """

    def __init__(self, transport: str, address: Path | tuple[str, int], hostname: str) -> None:
        self._transport = transport
        self._address = address
        self._hostname = "".join(char for char in hostname if "!" <= char <= "~")[:255] or "-"
        place = str(address) if isinstance(address, Path) else f"{address[0]}:{address[1]}"
        self.name = f"syslog:{transport}:{place}"

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """Send one message an entry."""
        messages = [syslog_message(entry, self._hostname) for entry in entries]
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if self._transport == "tcp":
                    await self._stream(messages)
                else:
                    await self._datagrams(messages)
        except TimeoutError:
            raise SinkError(f"{self.name}: no answer within {SEND_SECONDS:g}s") from None
        except OSError as error:
            raise SinkError(f"{self.name}: {error.strerror or error}") from error

    async def _stream(self, messages: list[bytes]) -> None:
        assert not isinstance(self._address, Path)
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.writelines(b"%d %s" % (len(message), message) for message in messages)
            await writer.drain()
            writer.write_eof()
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    # A connection that is reset raises here.
                    await reader.read()
            except TimeoutError:
                return
        finally:
            writer.close()

    async def _datagrams(self, messages: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(self._address, Path):
            family, target = socket.AF_UNIX, str(self._address)
        else:
            found = await loop.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
            family, target = found[0][0], found[0][4]  # type: ignore[assignment]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, target)
            for message in messages:
                await loop.sock_sendall(sock, message)


class WebhookSink:
    """JSON lines in the body of a POST; any 2xx means that they were taken.

    Args:
        url: https, or http on this machine.
        token: Sent as bearer token; empty for none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        # Without the query, in which some services want a token: the name stands in logs and metrics.
        self.name = f"https:{url.partition('?')[0]}"
        self._url = url
        self._headers = {"Content-Type": "application/x-ndjson"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """POST the batch."""
        data = "".join(entry_line(entry) + "\n" for entry in entries).encode("ascii")
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
        try:
            # A connection of its own: batches are rare, and an old one may be dead without our knowing.
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, data=data, headers=self._headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise SinkError(f"{self.name}: {error or type(error).__name__}") from error
        if not 200 <= status < 300:
            raise SinkError(f"{self.name} answered {status}")


def syslog_message(entry: SealedEntry, hostname: str) -> bytes:
    """One message: facility `log audit`, the action as MSGID, the JSON line as text."""
    severity = SEVERITY_WARNING if entry.action.endswith(".refused") else SEVERITY_NOTICE
    priority = FACILITY_LOG_AUDIT * 8 + severity
    name = "".join(char for char in entry.action if "!" <= char <= "~")[:MAX_MSGID] or "-"
    header = f"<{priority}>1 {entry.at} {hostname} coordinator {os.getpid()} {name} - "
    return header.encode("ascii", "replace") + entry_line(entry).encode("ascii")


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
