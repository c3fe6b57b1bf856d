"""One established channel: bytes from the wire in, plaintext out; plaintext in, bytes for the wire out.

Records only cut the byte stream; their borders mean nothing above. Either side of the channel is the same
object with its keys exchanged, so tests hold both ends. Driven by `control.noise_stream`.
"""

from __future__ import annotations

from coordinator.noise.errors import LocalProtocolError, RemoteProtocolError
from coordinator.noise.records import Opener, Sealer


class NoiseConnection:
    """Both directions of a channel after its handshake.

    INVARIANT: after the first RemoteProtocolError nothing is opened or sealed any more; a counter that may
    have been used is never used again.
    """

    __slots__ = ("_dead", "_opener", "_sealer")

    def __init__(self, *, receive_key: bytes, send_key: bytes) -> None:
        self._opener = Opener(receive_key)
        self._sealer = Sealer(send_key)
        self._dead = False

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes as they come from the wire, cut anywhere.

        Returns:
            The plaintext of every record that is now complete; empty when there is none.
        Raises:
            RemoteProtocolError: what came is not a sequence of valid records; the connection is dead.
            LocalProtocolError: called after that.
        """
        if self._dead:
            raise LocalProtocolError("the channel is dead")
        try:
            return self._opener.receive(data)
        except RemoteProtocolError:
            self._dead = True
            raise

    def seal(self, data: bytes) -> bytes:
        """Bytes for the wire that carry this plaintext.

        Raises:
            LocalProtocolError: the channel is dead, or the record counter used up.
        """
        if self._dead:
            raise LocalProtocolError("the channel is dead")
        return self._sealer.seal(data)
