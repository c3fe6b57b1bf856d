"""frames: byte vectors, round trips over any cutting of the stream, and damaged input."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derp import frames
from derp.frames import FrameReader, FrameType, LocalProtocolError, PeerGoneReason, RemoteProtocolError

KEY = bytes(range(32))
KEY_HEX = KEY.hex()

# Each as type, length, fields.
VECTORS = {
    "server key": (frames.server_key(KEY), "01 00000028 44455250f09f9491" + KEY_HEX),
    "client info": (frames.client_info(b"\xaa\xbb"), "02 00000002 aabb"),
    "server info": (frames.server_info(b"\xaa"), "03 00000001 aa"),
    "send packet": (frames.send_packet(KEY, b"hi"), "04 00000022" + KEY_HEX + "6869"),
    "recv packet": (frames.recv_packet(KEY, b"hi"), "05 00000022" + KEY_HEX + "6869"),
    "keep alive": (frames.KEEP_ALIVE, "06 00000000"),
    "note preferred": (frames.note_preferred(True), "07 00000001 01"),
    "note not preferred": (frames.note_preferred(False), "07 00000001 00"),
    "peer disconnected": (
        frames.peer_gone(KEY, PeerGoneReason.DISCONNECTED),
        "08 00000021" + KEY_HEX + "00",
    ),
    "peer not here": (frames.peer_gone(KEY, PeerGoneReason.NOT_HERE), "08 00000021" + KEY_HEX + "01"),
    "ping": (frames.ping(b"12345678"), "12 00000008 3132333435363738"),
    "pong": (frames.pong(b"12345678"), "13 00000008 3132333435363738"),
}


@pytest.mark.parametrize(("frame", "expected"), VECTORS.values(), ids=VECTORS)
def test_bytes_on_the_wire(frame: bytes, expected: str) -> None:
    assert frame.hex() == expected.replace(" ", "")


def test_keys_of_another_length_are_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        frames.send_packet(KEY[:31], b"")


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"TS\xf0\x9f\x92\xac" + bytes(56), True),
        (b"TS\xf0\x9f\x92\xac" + bytes(55), False),
        (b"\x01\x00\x00\x00" + bytes(144), False),
        (b"", False),
    ],
)
def test_disco_packets_are_told_by_their_look(packet: bytes, expected: bool) -> None:
    assert frames.is_disco(packet) is expected
    assert frames.is_disco(memoryview(packet)) is expected


def read_all(reader: FrameReader) -> list[tuple[int, bytes]]:
    found = []
    while (frame := reader.next_frame()) is not None:
        found.append((frame[0], bytes(frame[1])))
    return found


def any_type_reader() -> FrameReader:
    return FrameReader(dict.fromkeys(range(256), 1000), 0)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], list[bytes]]:
    """Frames, and their bytes in pieces."""
    sent = draw(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=80)), max_size=8))
    stream = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return sent, [stream[start:end] for start, end in pairwise(edges)]


@settings(max_examples=200)
@given(streams())
def test_round_trip_over_any_cutting(example: tuple[list[tuple[int, bytes]], list[bytes]]) -> None:
    sent, pieces = example
    reader = any_type_reader()
    found = []
    for piece in pieces:
        reader.feed(piece)
        found += read_all(reader)
    assert found == sent
    assert len(reader) == 0


@settings(max_examples=100)
@given(streams())
def test_pieces_may_pile_up_before_they_are_read(
    example: tuple[list[tuple[int, bytes]], list[bytes]],
) -> None:
    sent, pieces = example
    reader = any_type_reader()
    for piece in pieces:
        reader.feed(piece)
    assert read_all(reader) == sent


@settings(max_examples=100)
@given(streams(), st.sets(st.integers(0, 255)))
def test_unknown_types_are_skipped(
    example: tuple[list[tuple[int, bytes]], list[bytes]], known: set[int]
) -> None:
    sent, pieces = example
    reader = FrameReader(dict.fromkeys(known, 1000), 1000)
    found = []
    for piece in pieces:
        reader.feed(piece)
        found += read_all(reader)
    assert found == [frame for frame in sent if frame[0] in known]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=100), max_size=10))
def test_any_input_is_frames_or_refused(pieces: list[bytes]) -> None:
    reader = FrameReader({4: 50, 7: 1}, 30)
    try:
        for piece in pieces:
            reader.feed(piece)
            for kind, payload in read_all(reader):
                assert kind in (4, 7)
                assert len(payload) <= 50
            assert len(reader) <= 55
    except RemoteProtocolError as error:
        assert "are allowed" in str(error)


def test_too_long_is_refused_from_the_header_alone() -> None:
    reader = FrameReader({FrameType.SEND_PACKET: 10}, 20)
    reader.feed(bytes.fromhex("04 0000000b"))
    with pytest.raises(RemoteProtocolError, match="0x04 announces 11 bytes, at most 10"):
        reader.next_frame()


def test_too_long_to_skip_is_refused_from_the_header_alone() -> None:
    reader = FrameReader({}, 20)
    reader.feed(bytes.fromhex("7f 00000015"))
    with pytest.raises(RemoteProtocolError, match="0x7f announces 21 bytes, at most 20"):
        reader.next_frame()


def test_skipped_bytes_are_not_kept() -> None:
    reader = FrameReader({FrameType.PING: 8}, 1 << 20)
    reader.feed(bytes.fromhex("7f 00100000"))
    for _ in range(16):
        assert reader.next_frame() is None
        assert len(reader) < frames.HEADER_LENGTH
        reader.feed(bytes(65_536))
    reader.feed(frames.ping(b"12345678"))
    assert read_all(reader) == [(FrameType.PING, b"12345678")]


def test_payloads_outlive_later_reads() -> None:
    reader = any_type_reader()
    reader.feed(frames.encode(1, b"first"))
    first = reader.next_frame()
    reader.feed(frames.encode(2, b"other"))
    assert reader.next_frame() is not None
    assert first is not None
    assert first[1] == b"first"
