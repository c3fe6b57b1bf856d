"""What is counted and measured; served at /metrics on the metrics listener."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_PREFIX = "coordinator_"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = tuple(float(1 << power) for power in range(7, 22, 2))


class Metrics:
    """All metrics of a server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # What people graph beside any server: memory, processor time, open files, collections.
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._count_maps()
        self._count_changes()
        self._count_audit()
        self._count_wireguard()
        self.webhook_messages = self._counter(
            "webhook_messages", "Messages on access, by webhook and what became of them.", "sink", "outcome"
        )
        self.loop_lag_seconds = self._histogram("loop_lag_seconds", "How late the event loop ran a timer.")
        self.nodes = self._gauge("nodes", "Nodes, by presence.", "presence")

    def _count_maps(self) -> None:
        self.map_responses = self._counter("map_responses", "Map messages sent.", "kind")
        self.map_size_bytes = self._histogram(
            "map_size_bytes", "Size of map messages, compressed.", "kind", buckets=_SIZES
        )
        self.waiting_maps = self._gauge("waiting_maps", "Clients that wait for their full map.")
        self.sessions = self._gauge("map_sessions", "Open map streams.")
        self.instances = self._gauge("instances", "Servers at work on the same database, this one included.")
        self.fanout_seconds = self._histogram(
            "fanout_seconds", "From the first change until every session it concerns was told."
        )

    def _count_changes(self) -> None:
        self.registrations = self._counter("registrations", "RegisterRequests by outcome.", "outcome")
        self.ssh_checks = self._counter(
            "ssh_checks", "SSH sessions confirmed or refused by a person.", "outcome"
        )
        self.rate_limited = self._counter(
            "rate_limited", "Attempts turned away after too many failures.", "kind", "scope"
        )
        self.waiting_commands = self._gauge("waiting_commands", "Commands in the writer's queue.")

    def _count_audit(self) -> None:
        self.audit_backlog = self._gauge("audit_backlog", "Audit entries a sink has not taken yet.", "sink")
        self.audit_exported = self._counter("audit_exported", "Audit entries a sink took.", "sink")
        self.audit_failures = self._counter("audit_export_failures", "Batches a sink did not take.", "sink")
        self.audit_refusals_unrecorded = self._counter(
            "audit_refusals_unrecorded",
            "Refused registrations beyond what is recorded in the audit log.",
        )

    def _count_wireguard(self) -> None:
        self.wireguard_peers = self._gauge("wireguard_peers", "Plain WireGuard peers, by state.", "state")
        self.wireguard_connected = self._gauge(
            "wireguard_connected", "Keys of plain WireGuard peers with a handshake of the last minutes."
        )
        self.wireguard_bytes = self._counter(
            "wireguard_bytes", "Bytes of plain WireGuard peers, as gateways count them.", "direction"
        )
        self.wireguard_alerts = self._counter("wireguard_alerts", "Alerts raised.", "kind")

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}{name}", about, labels, registry=self.registry)

    def _histogram(
        self, name: str, about: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", about, labels, buckets=buckets, registry=self.registry)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)


METRICS = Metrics()
