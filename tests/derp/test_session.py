"""session: conversations as transcripts, and everything that breaks a rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derp import frames, handshake
from derp.box import Box
from derp.frames import FrameType, LocalProtocolError, RemoteProtocolError
from derp.handshake import ClientInfo
from derp.keys import clamp, public_key_of
from derp.limits import MAX_PACKET, Limits
from derp.session import ClientIntroduced, Event, HomeNoted, PacketSent, PingReceived, Session, State

RELAY, CLIENT = clamp(bytes(range(32))), clamp(bytes(range(50, 82)))
NODE_KEY, RELAY_KEY = public_key_of(CLIENT), public_key_of(RELAY)
OTHER = bytes([7]) * 32
NONCE = bytes(range(24))
BOX = Box(private_key=CLIENT, public_key=RELAY_KEY)
CLIENT_INFO = frames.client_info(
    handshake.seal_client_info(ClientInfo(version=2), node_key=NODE_KEY, box=BOX, nonce=NONCE)
)


def new_session(limits: Limits | None = None) -> Session:
    return Session(private_key=RELAY, public_key=RELAY_KEY, limits=limits or Limits())


def open_session(limits: Limits | None = None) -> Session:
    session = new_session(limits)
    session.receive_data(CLIENT_INFO)
    session.admit(NONCE)
    return session


def plain(events: list[Event]) -> list[object]:
    """Events with their views copied, for comparison."""
    return [
        (event.destination, bytes(event.packet)) if isinstance(event, PacketSent) else event
        for event in events
    ]


def test_a_whole_conversation() -> None:
    session = new_session()
    assert session.opening() == frames.server_key(RELAY_KEY)
    assert session.receive_data(CLIENT_INFO) == [ClientIntroduced(node_key=NODE_KEY)]
    assert session.state is State.AWAIT_ADMISSION
    answer, events = session.admit(NONCE)
    assert events == []
    assert answer[0] == FrameType.SERVER_INFO
    assert handshake.open_server_info(answer[5:], BOX).version == 2
    traffic = (
        frames.note_preferred(True)
        + frames.send_packet(OTHER, b"hi")
        + frames.encode(0x7F, b"from the future")
        + frames.pong(b"87654321")
        + frames.ping(b"12345678")
        + frames.ping(b"12345678 and more")
        + frames.note_preferred(False)
    )
    assert plain(session.receive_data(traffic)) == [
        HomeNoted(home=True),
        (OTHER, b"hi"),
        PingReceived(data=b"12345678"),
        PingReceived(data=b"12345678"),
        HomeNoted(home=False),
    ]


def test_what_is_sent_ahead_waits_for_admission() -> None:
    session = new_session()
    ahead = frames.note_preferred(True) + frames.send_packet(OTHER, b"early")
    assert session.receive_data(CLIENT_INFO + ahead[:20]) == [ClientIntroduced(node_key=NODE_KEY)]
    assert session.receive_data(ahead[20:]) == []
    _, events = session.admit(NONCE)
    assert plain(events) == [HomeNoted(home=True), (OTHER, b"early")]


def test_what_is_sent_ahead_is_bounded() -> None:
    session = new_session(Limits(max_held_back=100))
    session.receive_data(CLIENT_INFO)
    assert session.receive_data(bytes(100)) == []
    with pytest.raises(RemoteProtocolError, match="before admission"):
        session.receive_data(b"x")
    assert session.state is State.CLOSED


def test_a_broken_rule_sent_ahead_comes_out_at_admission() -> None:
    session = new_session()
    session.receive_data(CLIENT_INFO + frames.encode(FrameType.WATCH_CONNS))
    with pytest.raises(RemoteProtocolError):
        session.admit(NONCE)
    assert session.state is State.CLOSED


@pytest.mark.parametrize(
    "frame_type", [FrameType.FORWARD_PACKET, FrameType.WATCH_CONNS, FrameType.CLOSE_PEER]
)
def test_frames_between_relays_are_refused(frame_type: FrameType) -> None:
    with pytest.raises(RemoteProtocolError, match=frame_type.name):
        open_session().receive_data(frames.encode(frame_type))


@pytest.mark.parametrize(
    "frame",
    [
        frames.encode(FrameType.SEND_PACKET, bytes(31)),
        frames.encode(FrameType.PING, bytes(7)),
        frames.encode(FrameType.NOTE_PREFERRED),
        frames.encode(FrameType.NOTE_PREFERRED, b"\x01\x01"),
        frames.encode(FrameType.PING, bytes(1001)),
        # The last two from the header alone.
        bytes.fromhex("04") + (32 + MAX_PACKET + 1).to_bytes(4, "big"),
        bytes.fromhex("7f") + (Limits().max_skipped_frame + 1).to_bytes(4, "big"),
    ],
)
def test_broken_rules_end_the_session(frame: bytes) -> None:
    session = open_session()
    with pytest.raises(RemoteProtocolError):
        session.receive_data(frame)
    assert session.state is State.CLOSED
    assert session.receive_data(frames.ping(bytes(8))) == []


def test_the_largest_packet_passes() -> None:
    (event,) = open_session().receive_data(frames.send_packet(OTHER, bytes(MAX_PACKET)))
    assert isinstance(event, PacketSent)
    assert len(event.packet) == MAX_PACKET


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frames.send_packet(OTHER, b"x"),
        frames.client_info(bytes(55)),
        frames.client_info(bytes(100)),
        bytes.fromhex("02 00004001"),
    ],
)
def test_anything_but_an_introduction_first_is_refused(garbage: bytes) -> None:
    session = new_session()
    with pytest.raises(RemoteProtocolError):
        session.receive_data(garbage)
    assert session.state is State.CLOSED


def test_admitting_nobody_is_our_mistake() -> None:
    for session in (new_session(), open_session()):
        with pytest.raises(LocalProtocolError):
            session.admit(NONCE)


def test_admitting_after_close_is_our_mistake() -> None:
    session = new_session()
    session.receive_data(CLIENT_INFO)
    session.close()
    with pytest.raises(LocalProtocolError):
        session.admit(NONCE)


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=120), max_size=6), st.booleans())
def test_any_input_is_events_or_refused(pieces: list[bytes], introduced: bool) -> None:
    session = open_session() if introduced else new_session()
    try:
        for piece in pieces:
            for event in session.receive_data(piece):
                assert introduced
                assert not isinstance(event, ClientIntroduced)
    except RemoteProtocolError:
        assert session.state is State.CLOSED


def test_repr_says_where_it_stands() -> None:
    session = new_session()
    session.receive_data(CLIENT_INFO[:10])
    assert repr(session) == "<Session await_client_info, 10 bytes held>"
