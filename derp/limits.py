"""Every number of the relay, each with its reason, and the token bucket that enforces a rate.

No I/O and no clock: callers pass `now`. Used by every other module of the package.
"""

from dataclasses import dataclass

__all__ = ["MAX_PACKET", "Limits", "TokenBucket"]

MAX_PACKET = 65_536
"""Largest packet inside SendPacket, in bytes. Fixed by the protocol. Source: tailscale derp/derp.go,
MaxPacketSize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds. The defaults suit one relay process for a tailnet of thousands."""

    handshake_deadline: float = 10.0
    """From the upgrade to the decision. The stock client gives its whole dial 10 s, so longer is of no
    use."""

    admission_deadline: float = 5.0
    """How long to wait for `Admission.admit`; what a stock relay allows its call-out."""

    max_connections: int = 10_000
    """Upgraded connections of all kinds. A TLS connection costs about 50 kB, so this is about 500 MB."""

    max_unauthenticated: int = 1_000
    """Connections that have not been admitted yet. Honest ones stay here for one round trip; anyone may open
    them."""

    max_connections_per_key: int = 8
    """Connections with one node key. Two happen (quick reconnect, cloned machine); one key must not take
    every slot. The least recently active is closed for a newer one."""

    max_client_info: int = 16_384
    """ClientInfo payload. Stock clients send about 150 bytes; times `max_unauthenticated` this is 16 MB."""

    max_ping: int = 1_000
    """Ping payload; 8 bytes are used. Source: tailscale derp/derpserver, handleFramePing tolerates up to
    1000."""

    max_skipped_frame: int = 1 << 20
    """Frames of unknown types are skipped without being kept, for clients newer than us. The protocol has no
    ceiling; beyond this the header is taken for garbage."""

    max_held_back: int = 1 << 20
    """Bytes a client may send ahead while its admission is decided. Reading is paused meanwhile, so only what
    the kernel and TLS had already handed over arrives: at most a few reads of 256 kB."""

    queue_depth: int = 32
    """Packets waiting per connection once its write buffer is full. Source: tailscale's relay has the same
    depth. More only adds delay: the tunnelled protocols notice loss sooner than lateness."""

    disco_queue_depth: int = 32
    """The same for disco packets, kept apart so that bulk data cannot starve path discovery."""

    control_queue_depth: int = 256
    """Pong, PeerGone and KeepAlive frames waiting. All are hints or answers that may be lost."""

    write_buffer: int = 65_536
    """Bytes in a transport's user-space buffer above which nothing more is written to it. Holds one packet of
    the largest size; larger buffers only add delay."""

    write_deadline: float = 10.0
    """A connection whose full buffer does not shrink for so long is cut. A stock relay gives one small write
    2 s; our buffer drains in steps of up to 48 kB, which a 5 kB/s link just manages."""

    close_deadline: float = 2.0
    """How long a closed connection may take to send what is buffered before it is cut."""

    dead_peer_timeout: float = 90.0
    """How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT). With a KeepAlive a minute, a peer that
    vanished without a word is gone after two and a half minutes instead of a quarter of an hour."""

    keepalive_interval: float = 60.0
    """Seconds between KeepAlive frames to one client. Clients give up after 120 s of silence; each connection
    gets a random phase, so that a reconnecting crowd is not served in one burst."""

    peer_gone_rate: float = 1.0
    """PeerGone(not here) answers per second and connection. Source: tailscale derp/derpserver: 1/s, burst
    3."""

    peer_gone_burst: float = 3.0
    """See `peer_gone_rate`."""

    max_websocket_message: int = 131_072
    """One incoming WebSocket message: a largest frame with room to spare. Stock relays take 32 KiB."""


class TokenBucket:
    """A rate with a burst. Starts full.

    Args:
        rate: tokens per second.
        burst: the most tokens it holds.
    """

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token if there is one. `now` is monotonic seconds and must not go backwards."""
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
