"""Listening on the event loop, and going on without it."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from datetime import datetime

import pytest

from coordinator.gateway.commands import CommandError
from coordinator.gateway.ear import Ear
from coordinator.gateway.initiation import Lock
from tests.coordinator.gateway.builders import NOW
from tests.coordinator.gateway.initiations import DEVICE, FIRST, GATEWAY
from tests.coordinator.gateway.test_nflog import message
from tests.coordinator.gateway.test_packets import IPV4


class Log:
    """The kernel: a trial that passes or not, and a socket with this end."""

    def __init__(self) -> None:
        self.ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.tried: list[tuple[tuple[str, ...], str]] = []
        self.refusal: Exception | None = None

    async def run(self, argv: tuple[str, ...], stdin: str) -> str:
        self.tried.append((argv, stdin))
        if isinstance(self.refusal, CommandError):
            raise self.refusal
        return ""

    def connect(self) -> socket.socket:
        if isinstance(self.refusal, OSError):
            raise self.refusal
        return self.ours

    def ear(self) -> Ear:
        made = Ear(self.run, self.connect)
        made.knocks.expect({51820: ("wg0", Lock(GATEWAY))}, frozenset())
        return made

    def knock(self) -> None:
        self.kernel.send(message(IPV4 + FIRST))


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.ours.close()
    made.kernel.close()


def clock() -> datetime:
    """Stands still."""
    return NOW


async def test_a_knock_is_heard_on_the_loop(log: Log) -> None:
    ear = log.ear()
    assert ear.ports == ()
    assert await ear.open(clock) == ""
    assert ear.ports == (51820,)
    ((argv, text),) = log.tried
    assert argv[:2] == ("nft", "--check"), "the trial is not committed"
    assert "log group" in text
    log.knock()
    for _ in range(100):
        await asyncio.sleep(0.001)
        if ear.knocks.to_tell(NOW):
            break
    assert [each.public_key for each in ear.knocks.to_tell(NOW)] == [DEVICE]
    ear.close()
    ear.close()
    assert ear.ports == ()


async def test_what_has_come_can_be_asked_for(log: Log) -> None:
    ear = log.ear()
    assert not ear.hear(clock)
    await ear.open(clock)
    assert not ear.hear(clock)
    log.knock()
    assert ear.hear(clock)
    log.knock()
    assert not ear.hear(clock), "a replay"
    ear.close()


@pytest.mark.parametrize(
    "refusal",
    [CommandError("`nft` failed: no such file"), PermissionError(errno.EPERM, "Operation not permitted")],
)
async def test_without_a_log_nothing_is_heard_and_that_is_said(log: Log, refusal: Exception) -> None:
    log.refusal = refusal
    ear = log.ear()
    said = await ear.open(clock)
    assert "not heard" in said
    assert "no such file" in said or "not permitted" in said
    assert ear.ports == ()
    assert not ear.hear(clock)


async def test_a_socket_that_breaks_is_closed(log: Log) -> None:
    ear = log.ear()
    await ear.open(clock)

    class Broken:
        def recv(self, _: int) -> bytes:
            raise OSError(errno.EIO, "broken")

        def fileno(self) -> int:
            return log.ours.fileno()

        def close(self) -> None: ...

    ear._channel = Broken()  # type: ignore[assignment]
    assert not ear.hear(clock)
    assert ear.ports == ()
