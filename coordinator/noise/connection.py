"""One established channel: bytes from the wire in, plaintext out; plaintext in, bytes for the wire out.

Records only cut the byte stream; their borders mean nothing above. Either side of the channel is the same
object with its keys exchanged, so tests hold both ends. Driven by `control.noise_stream`.
"""

from __future__ import annotations

from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError
from coordinator.noise.messages import HEADER_BYTES
from coordinator.noise.records import RecordOpener, RecordSealer, record_length


class NoiseConnection:
    """Both directions of a channel after its handshake.

    INVARIANT: after the first RemoteProtocolError nothing is opened or sealed any more; a counter that may
    have been used is never used again.
    """

    __slots__ = ("_buffer", "_dead", "_opener", "_sealer")

    def __init__(self, *, receive_key: bytes, send_key: bytes) -> None:
        self._opener = RecordOpener(receive_key)
        self._sealer = RecordSealer(send_key)
        self._buffer = bytearray()
        self._dead = False

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete record, less than 4096."""
        return len(self._buffer)

    def receive_data(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take bytes as they come from the wire, cut anywhere.

        Returns:
            The plaintext of every record that is now complete; empty when there is none.
        Raises:
            RemoteProtocolError: what came is not a sequence of valid records; the connection is dead.
            LocalProtocolError: called after that.
        """
        if self._dead:
            raise LocalProtocolError("the channel is dead")
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        if size < HEADER_BYTES:
            return b""
        parts: list[bytes] = []
        position = 0
        try:
            with memoryview(buffer) as view:
                while size - position >= HEADER_BYTES:
                    start = position + HEADER_BYTES
                    end = start + record_length(view[position:start])
                    if end > size:
                        break
                    parts.append(self._opener.open(view[start:end]))
                    position = end
        except RemoteProtocolError:
            self._dead = True
            raise
        del buffer[:position]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """Bytes for the wire that carry this plaintext.

        Raises:
            LocalProtocolError: the channel is dead, or the record counter used up.
        """
        if self._dead:
            raise LocalProtocolError("the channel is dead")
        return self._sealer.seal(data)
