"""DATA frames written by hand, beside `h2`.

`h2.send_data` costs some 35 µs for a small message, most of it in state machines that cannot change their
state for DATA without END_STREAM on a stream whose HEADERS are out. Here such a frame is its nine header
bytes and the payload, and the two outbound windows are taken down exactly as `h2` would. Everything else
(HEADERS, END_STREAM, RST_STREAM, windows growing) stays with `h2`.

Frame header: u24 length, u8 type 0 (DATA), u8 flags 0, u32 stream id. Source: RFC 9113 sections 4.1 and 6.1.
"""

from __future__ import annotations

import struct

from h2.connection import H2Connection
from h2.stream import H2Stream

_FRAME_HEADER = struct.Struct(">HBHI")
"""Length as u16 (high) + u8 (low), then type and flags together as a zero u16, then the stream id."""
FRAME_HEADER_BYTES = _FRAME_HEADER.size


class DataFrames:
    """The outbound DATA of one stream.

    INVARIANT: used only between the stream's HEADERS and its end, and `frames` never exceeds `allowance`;
        then
    h2's books and the peer's agree, whichever of the two paths a byte took.
    """

    __slots__ = ("_connection", "_stream", "_stream_id")

    def __init__(self, connection: H2Connection, stream_id: int) -> None:
        self._connection = connection
        self._stream: H2Stream = connection.streams[stream_id]
        self._stream_id = stream_id

    @property
    def allowance(self) -> int:
        """Bytes of payload that the peer accepts now; negative after it has shrunk its initial window."""
        stream_window: int = self._stream.outbound_flow_control_window
        connection_window: int = self._connection.outbound_flow_control_window
        return stream_window if stream_window < connection_window else connection_window

    def frames(self, data: bytes | memoryview) -> bytes:
        """The bytes of as many DATA frames as this payload needs; the windows are taken down.

        Args:
            data: not empty, at most `allowance` bytes.
        """
        size = len(data)
        largest = self._connection.max_outbound_frame_size
        self._stream.outbound_flow_control_window -= size
        self._connection.outbound_flow_control_window -= size
        if size <= largest:
            return _FRAME_HEADER.pack(size >> 8, size & 0xFF, 0, self._stream_id) + data
        parts: list[bytes | memoryview] = []
        for start in range(0, size, largest):
            piece = data[start : start + largest]
            parts.append(_FRAME_HEADER.pack(len(piece) >> 8, len(piece) & 0xFF, 0, self._stream_id))
            parts.append(piece)
        return b"".join(parts)
