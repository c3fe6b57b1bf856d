"""One DERP connection, seen from the relay, as a state machine: bytes in, events out. No socket, no clock.

    AWAIT_CLIENT_INFO --ClientInfo--> AWAIT_ADMISSION --admit()--> OPEN
            any state --broken rule or close()--> CLOSED

Clients do not wait for ServerInfo before they send, so what arrives while the admission is decided is held
back and comes out of `admit`. `connection` drives it and turns the events into deeds.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from derp import frames, handshake
from derp.frames import FrameReader, FrameType, LocalProtocolError, RemoteProtocolError
from derp.handshake import ClientHello
from derp.limits import MAX_PACKET, Limits

__all__ = ["ClientIntroduced", "Event", "HomeNoted", "PacketSent", "PingReceived", "Session", "State"]

_KEY_LENGTH = 32
_PING_LENGTH = 8


class State(Enum):
    """Where a session stands."""

    AWAIT_CLIENT_INFO = "await_client_info"
    AWAIT_ADMISSION = "await_admission"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIntroduced:
    """The client has proven its node key (32 bytes). Decide, then call `admit` or close."""

    node_key: bytes


@dataclass(frozen=True, slots=True)
class PacketSent:
    """A packet for the node with key `destination` (32 bytes). The packet is a view: valid, but not small."""

    destination: bytes
    packet: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeNoted:
    """Whether the client calls this relay its home."""

    home: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReceived:
    """Answer with a Pong of the same 8 bytes."""

    data: bytes


Event: TypeAlias = ClientIntroduced | PacketSent | HomeNoted | PingReceived


class Session:
    """The relay's side of one connection.

    Args:
        private_key, public_key: the relay's, 32 bytes each.
    """

    __slots__ = ("_hello", "_limits", "_open_ceilings", "_private_key", "_public_key", "_reader", "state")

    def __init__(self, *, private_key: bytes, public_key: bytes, limits: Limits) -> None:
        self._private_key = private_key
        self._public_key = public_key
        self._limits = limits
        self._hello: ClientHello | None = None
        self.state = State.AWAIT_CLIENT_INFO
        # Before the introduction nothing may be skipped: whoever sends something else is no DERP client.
        self._reader = FrameReader({FrameType.CLIENT_INFO: limits.max_client_info}, 0)

    def __repr__(self) -> str:
        return f"<Session {self.state.value}, {len(self._reader)} bytes held>"

    def opening(self) -> bytes:
        """The relay's first words: the ServerKey frame."""
        return frames.server_key(self._public_key)

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the wire and say what they mean.

        Raises:
            RemoteProtocolError: the client broke a rule. Events of the same call are lost with the
                connection.
        """
        if self.state is State.CLOSED:
            return []
        self._reader.feed(data)
        try:
            if self.state is State.AWAIT_CLIENT_INFO:
                return self._introduction()
            if self.state is State.AWAIT_ADMISSION:
                self._check_held_back()
                return []
            return self._traffic()
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise

    def admit(self, nonce: bytes) -> tuple[bytes, list[Event]]:
        """The client may stay.

        Args:
            nonce: 24 fresh random bytes.
        Returns:
            The ServerInfo frame to send, and the events of what arrived meanwhile.
        Raises:
            LocalProtocolError: nobody is waiting to be admitted.
            RemoteProtocolError: what arrived meanwhile breaks a rule.
        """
        if self._hello is None or self.state is not State.AWAIT_ADMISSION:
            raise LocalProtocolError(f"cannot admit a client in state {self.state.value}")
        info = frames.server_info(handshake.seal_server_info(self._hello.box, nonce))
        self._hello = None
        self.state = State.OPEN
        self._reader.ceilings = {
            FrameType.SEND_PACKET: _KEY_LENGTH + MAX_PACKET,
            FrameType.NOTE_PREFERRED: 1,
            FrameType.PING: self._limits.max_ping,
            # Known, so that they are refused by name rather than skipped like the types of newer clients.
            FrameType.FORWARD_PACKET: 2 * _KEY_LENGTH + MAX_PACKET,
            FrameType.WATCH_CONNS: 0,
            FrameType.CLOSE_PEER: _KEY_LENGTH,
        }
        self._reader.skip_ceiling = self._limits.max_skipped_frame
        try:
            return info, self._traffic()
        except RemoteProtocolError:
            self.state = State.CLOSED
            raise

    def close(self) -> None:
        """Nothing more is read."""
        self.state = State.CLOSED

    def _introduction(self) -> list[Event]:
        frame = self._reader.next_frame()
        if frame is None:
            return []
        self._hello = handshake.open_client_info(bytes(frame[1]), private_key=self._private_key)
        self.state = State.AWAIT_ADMISSION
        self._check_held_back()
        return [ClientIntroduced(node_key=self._hello.node_key)]

    def _check_held_back(self) -> None:
        if len(self._reader) > self._limits.max_held_back:
            raise RemoteProtocolError(f"more than {self._limits.max_held_back} bytes sent before admission")

    def _traffic(self) -> list[Event]:
        events: list[Event] = []
        next_frame = self._reader.next_frame
        while (frame := next_frame()) is not None:
            frame_type, payload = frame
            # Nearly every frame is this one; it is handled here to keep forwarding cheap.
            if frame_type == 0x04:
                if len(payload) < _KEY_LENGTH:
                    raise RemoteProtocolError(
                        f"SendPacket has at least {_KEY_LENGTH} bytes, got {len(payload)}"
                    )
                events.append(PacketSent(bytes(payload[:_KEY_LENGTH]), payload[_KEY_LENGTH:]))
            else:
                events.append(_other_event(frame_type, payload))
        return events


def _other_event(frame_type: int, payload: memoryview) -> Event:
    if frame_type == FrameType.PING:
        if len(payload) < _PING_LENGTH:
            raise RemoteProtocolError(f"Ping has at least {_PING_LENGTH} bytes, got {len(payload)}")
        return PingReceived(data=bytes(payload[:_PING_LENGTH]))
    if frame_type == FrameType.NOTE_PREFERRED:
        if len(payload) != 1:
            raise RemoteProtocolError("NotePreferred has no byte")
        return HomeNoted(home=payload[0] != 0)
    raise RemoteProtocolError(
        f"{FrameType(frame_type).name} is for relays of one region, and this one has no others"
    )
