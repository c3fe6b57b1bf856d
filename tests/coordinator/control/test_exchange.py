"""Requests and responses against a recording outlet."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.control.data_frames import DataFrames
from coordinator.control.exchange import (
    BodyTooLargeError,
    Headers,
    Peer,
    Request,
    ResponseStateError,
    ResponseStream,
    StreamClosedError,
)
from coordinator.tailcfg.keys import MachineKey
from tests.coordinator.control.test_data_frames import pair


class Outlet:
    """Writes down what a response does; writing can be switched off."""

    send_chunk = 1000

    def __init__(self) -> None:
        self.client, self.server, self.frames = pair()
        self.log: list[str] = []
        self.written = 0
        self.open = True
        self.waiting: list[ResponseStream] = []

    def send_headers(self, stream_id: int, headers: Headers) -> DataFrames:
        self.log.append(f"head {headers}")
        return self.frames

    def write_frames(self, frames: bytes) -> None:
        self.written += len(frames) - 9

    def can_write(self) -> bool:
        return self.open

    def blocked(self, response: ResponseStream) -> None:
        self.waiting.append(response)

    def end_stream(self, stream_id: int) -> None:
        self.log.append("end")

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.log.append(f"reset {int(error_code)}")


def request(limit: int = 100) -> Request:
    peer = Peer(machine_key=MachineKey("mkey:" + "1" * 64), version=142, remote="192.0.2.1")
    return Request(method="POST", path="/x", query={}, headers={}, peer=peer, request_id="c1-1", limit=limit)


async def begun() -> tuple[Outlet, ResponseStream]:
    outlet = Outlet()
    response = ResponseStream(outlet, 1)
    await response.send_head(200, {"Content-Type": "text/plain"})
    return outlet, response


async def test_body_arrives_in_pieces() -> None:
    one = request()
    reader = asyncio.ensure_future(one.body())
    for piece in (b"a", b"b", b"c"):
        await asyncio.sleep(0)
        one.feed(piece)
    one.finish()
    assert await reader == b"abc"
    assert await one.body() == b"abc"


async def test_body_limits() -> None:
    one = request(limit=10)
    one.feed(b"12345678")
    with pytest.raises(BodyTooLargeError):
        await one.body(limit=5)
    one.feed(b"9012345")
    assert one.held == 0
    with pytest.raises(BodyTooLargeError, match="10 bytes"):
        await one.body()
    one.feed(b"x" * 1000)
    assert one.held == 0


async def test_body_of_a_client_that_left() -> None:
    one = request()
    reader = asyncio.ensure_future(one.body())
    await asyncio.sleep(0)
    one.abandon()
    with pytest.raises(StreamClosedError):
        await reader


async def test_answer_in_order() -> None:
    outlet, response = await begun()
    await response.send(b"x" * 2500)
    await response.finish()
    assert outlet.written == 2500
    assert outlet.log == ["head [(':status', '200'), ('content-type', 'text/plain')]", "end"]
    with pytest.raises(StreamClosedError):
        await response.send(b"late")


async def test_wrong_order_is_our_bug() -> None:
    response = ResponseStream(Outlet(), 1)
    with pytest.raises(ResponseStateError):
        response.try_push(b"x")
    with pytest.raises(ResponseStateError):
        await response.finish()
    await response.send_head(200, {})
    with pytest.raises(ResponseStateError):
        await response.send_head(200, {})


async def test_push_is_busy_until_all_has_left() -> None:
    outlet, response = await begun()
    told: list[str] = []
    response.on_writable = lambda: told.append("writable")
    outlet.open = False
    assert response.try_push(b"x" * 70_000)
    assert response.busy and outlet.waiting == [response]
    assert not response.try_push(b"second")
    outlet.open = True
    assert not response.pump()
    assert outlet.written == 65_535  # the stream's window
    outlet.client.increment_flow_control_window(70_000, 1)
    outlet.client.increment_flow_control_window(70_000)
    outlet.server.receive_data(outlet.client.data_to_send())
    assert response.pump()
    assert outlet.written == 70_000 and not response.busy
    await asyncio.sleep(0)
    assert told == ["writable"]
    assert response.try_push(b"second")


async def test_writable_is_not_told_to_those_who_were_not_refused() -> None:
    outlet, response = await begun()
    told: list[str] = []
    response.on_writable = lambda: told.append("writable")
    outlet.open = False
    response.try_push(b"x" * 5000)
    outlet.open = True
    assert response.pump()
    await asyncio.sleep(0)
    assert told == []


async def test_lost_is_told_once_and_wakes_the_sender() -> None:
    outlet, response = await begun()
    told: list[str] = []
    response.on_closed = lambda: told.append("closed")
    outlet.open = False
    sender = asyncio.ensure_future(response.send(b"x" * 5000))
    await asyncio.sleep(0)
    response.lost()
    response.lost()
    with pytest.raises(StreamClosedError):
        await sender
    assert told == ["closed"] and response.closed
    assert not response.try_push(b"x")


async def test_reset_is_silent_towards_the_owner() -> None:
    outlet, response = await begun()
    told: list[str] = []
    response.on_closed = lambda: told.append("closed")
    response.reset()
    response.reset()
    await asyncio.sleep(0)
    assert told == []
    assert outlet.log[1:] == ["reset 8"]
