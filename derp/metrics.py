"""What a relay counts, and how it is shown to Prometheus.

Counting is on the path of every packet, so it is plain integers in `Stats`; `RelayCollector` reads them when
somebody asks. `connection` counts; `server.Relay` registers the collector.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from derp.send_queue import DropReason

__all__ = ["RelayCollector", "Stats"]

_COUNTERS = {
    "accepted": "Connections that were upgraded to DERP.",
    "packets_received": "Packets received from clients.",
    "bytes_received": "Bytes received from clients, frames and all.",
    "packets_forwarded": "Packets queued for a connected client, also those dropped from its queue later.",
    "bytes_sent": "Bytes sent to clients, frames and all.",
    "pings": "Ping frames answered.",
}
_LABELLED = {
    "packets_dropped": "Frames that were not delivered, by reason.",
    "connections_ended": "Connections that ended, by reason.",
    "upgrades_refused": "Upgrade requests answered with an error, by reason.",
    "peer_gone_sent": "PeerGone frames queued, by reason.",
}
_GAUGES = {
    "connections": "Upgraded connections now.",
    "unauthenticated": "Of these, connections that have not been admitted yet.",
    "clients": "Different node keys connected now.",
    "home_connections": "Connections that call this relay their home.",
}


@dataclass(slots=True, kw_only=True)
class Stats:
    """Numbers of one relay. Counters never decrease; the last four are the state of this moment."""

    accepted: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_forwarded: int = 0
    bytes_sent: int = 0
    pings: int = 0

    packets_dropped: dict[str, int] = field(default_factory=dict)
    connections_ended: dict[str, int] = field(default_factory=dict)
    upgrades_refused: dict[str, int] = field(default_factory=dict)
    peer_gone_sent: dict[str, int] = field(default_factory=dict)

    connections: int = 0
    unauthenticated: int = 0
    clients: int = 0
    home_connections: int = 0

    def dropped(self, reason: DropReason, count: int = 1) -> None:
        """Count frames that were not delivered."""
        self._add(self.packets_dropped, reason.value, count)

    def ended(self, reason: str) -> None:
        """Count a connection's end."""
        self._add(self.connections_ended, reason, 1)

    def refused(self, reason: str) -> None:
        """Count an upgrade request that got an error."""
        self._add(self.upgrades_refused, reason, 1)

    def told_gone(self, reason: str, count: int = 1) -> None:
        """Count PeerGone frames."""
        self._add(self.peer_gone_sent, reason, count)

    @staticmethod
    def _add(counts: dict[str, int], label: str, count: int) -> None:
        if count:
            counts[label] = counts.get(label, 0) + count


class RelayCollector(Collector):
    """Shows one relay's `Stats` as metrics named `derp_…`."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """One family per number; called on each scrape."""
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"derp_{name}", text, value=getattr(self._stats, name))
        for name, text in _LABELLED.items():
            family = CounterMetricFamily(f"derp_{name}", text, labels=("reason",))
            for reason, count in dict(getattr(self._stats, name)).items():
                family.add_metric((reason,), count)
            yield family
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"derp_{name}", text, value=getattr(self._stats, name))
