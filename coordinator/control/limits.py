"""Every number of the control transport, with its reason.

Values, not settings: they follow from the protocol and from what stock clients do. Tests make them small.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlLimits:
    """What one server, one connection and one stream may cost."""

    max_connections: int = 20_000
    """About 33 KiB each when idle. Beyond it dials are answered 503, which costs a client 10 s."""

    max_connections_per_machine: int = 16
    """A client opens one Noise connection per authority, two or three in practice; of more, the oldest
    goes."""

    simultaneous_handshakes: int = 4
    """Per turn of the event loop, 0.3 ms each. The rest waits; a storm must not stall the open streams."""

    handshake_deadline: float = 10.0
    """Seconds a dial may wait for its turn; a client gives up its dial after 10 s."""

    preface_deadline: float = 10.0
    """Seconds until the first record must have come: a peer that never speaks proves nothing."""

    stuck_after: float = 60.0
    """Seconds a stream may have data waiting without any of it leaving. A client's watchdog is 120 s."""

    max_concurrent_streams: int = 250
    """Register follow-ups, a map poll, updates and replies overlap; Go refuses to work with less than 100."""

    max_resets_per_minute: int = 600
    """Opening and cancelling streams in a loop costs us more than the peer; clients reset a few a minute."""

    initial_stream_window: int = MIB
    """Inbound, per stream: one request body in one flight."""

    connection_window: int = 16 * MIB
    """Inbound, per connection: many uploads side by side without waiting for each other."""

    max_header_list: int = 16 * KIB
    """Bytes of decoded request headers; a stock client sends a few hundred."""

    max_body: int = MIB
    """Bytes of one request body; the reference servers use the same."""

    max_buffered_bodies: int = 4 * MIB
    """Bytes of unread request bodies on one connection; above it the newest stream is refused."""

    write_high_water: int = 128 * KIB
    """Bytes in the transport's buffer that make writing pause: at worst this much per slow client."""

    send_chunk: int = 64 * KIB
    """Bytes framed and sealed in one go (about 60 µs), so that one large map holds up nobody for long."""

    tcp_keepalive_idle: int = 60
    """Seconds of silence before TCP probes; finds clients that vanished without a word."""

    tcp_keepalive_interval: int = 15
    """Seconds between probes."""

    tcp_keepalive_probes: int = 4
    """Unanswered probes until the connection counts as dead: two minutes in all, like the client's
    watchdog."""
