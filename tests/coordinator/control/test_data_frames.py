"""Frames by hand and frames by h2, mixed, against a real h2 client."""

from __future__ import annotations

import random

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FlowControlError

from coordinator.control.data_frames import FRAME_HEADER_BYTES, DataFrames


def pair() -> tuple[H2Connection, H2Connection, DataFrames]:
    client = H2Connection(H2Configuration(client_side=True))
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    client.initiate_connection()
    server.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/")])
    client.end_stream(1)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")])
    client.receive_data(server.data_to_send())
    return client, server, DataFrames(server, 1)


def received(client: H2Connection, data: bytes) -> bytes:
    return b"".join(e.data for e in client.receive_data(data) if isinstance(e, events.DataReceived))


def test_header_vector() -> None:
    _, _, frames = pair()
    # u24 length 70000 is split at 16384 | type 0 | flags 0 | stream 1
    assert frames.frames(b"abc") == bytes.fromhex("000003 00 00 00000001") + b"abc"
    assert frames.frames(b"x" * 16384)[:9] == bytes.fromhex("004000 00 00 00000001")


def test_same_bytes_as_h2() -> None:
    _, one, frames = pair()
    _, two, _ = pair()
    one.data_to_send()
    two.data_to_send()
    two.send_data(1, b"payload")
    assert frames.frames(b"payload") == two.data_to_send()


def test_cuts_at_the_largest_frame() -> None:
    client, _, frames = pair()
    data = random.Random(1).randbytes(40_000)
    wire = frames.frames(memoryview(data))
    assert len(wire) == 40_000 + 3 * FRAME_HEADER_BYTES
    assert received(client, wire) == data


def test_mixed_paths_keep_the_same_books() -> None:
    client, server, frames = pair()
    server.data_to_send()
    rng = random.Random(2)
    for _ in range(2000):
        assert frames.allowance == server.local_flow_control_window(1)
        size = min(rng.randrange(1, 3000), frames.allowance)
        if size:
            data = rng.randbytes(size)
            if rng.random() < 0.5:
                server.send_data(1, data)
                wire = server.data_to_send()
            else:
                wire = server.data_to_send() + frames.frames(data)
            assert received(client, wire) == data
            # The client's own view of what it still accepts must agree with ours.
            assert client.remote_flow_control_window(1) == frames.allowance
        if rng.random() < 0.1 or not frames.allowance:
            missing = 65_535 - client.remote_flow_control_window(1)
            if missing:
                client.increment_flow_control_window(missing, 1)
                client.increment_flow_control_window(missing)
            server.receive_data(client.data_to_send())
    server.end_stream(1)
    assert any(isinstance(e, events.StreamEnded) for e in client.receive_data(server.data_to_send()))


def test_one_byte_too_many_is_what_the_client_rejects() -> None:
    client, _, frames = pair()
    wire = frames.frames(bytes(65_535))
    assert frames.allowance == 0
    client.receive_data(wire)
    with pytest.raises(FlowControlError):
        client.receive_data(frames.frames(b"x"))
