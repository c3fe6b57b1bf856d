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

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = tuple(float(1 << power) for power in range(7, 22, 2))


class Metrics:
    """All metrics of a server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # What people graph beside any server: memory, processor time, open files, collections.
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.map_responses = Counter(
            "coordinator_map_responses", "Map messages sent.", ["kind"], registry=self.registry
        )
        self.map_size_bytes = Histogram(
            "coordinator_map_size_bytes",
            "Size of map messages, compressed.",
            ["kind"],
            buckets=_SIZES,
            registry=self.registry,
        )
        self.waiting_maps = Gauge(
            "coordinator_waiting_maps", "Clients that wait for their full map.", registry=self.registry
        )
        self.sessions = Gauge("coordinator_map_sessions", "Open map streams.", registry=self.registry)
        self.fanout_seconds = Histogram(
            "coordinator_fanout_seconds",
            "From the first change until every session it concerns was told.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registrations = Counter(
            "coordinator_registrations", "RegisterRequests by outcome.", ["outcome"], registry=self.registry
        )
        self.ssh_checks = Counter(
            "coordinator_ssh_checks",
            "SSH sessions confirmed or refused by a person.",
            ["outcome"],
            registry=self.registry,
        )
        self.loop_lag_seconds = Histogram(
            "coordinator_loop_lag_seconds",
            "How late the event loop ran a timer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waiting_commands = Gauge(
            "coordinator_waiting_commands", "Commands in the writer's queue.", registry=self.registry
        )
        self.audit_backlog = Gauge(
            "coordinator_audit_backlog",
            "Audit entries a sink has not taken yet.",
            ["sink"],
            registry=self.registry,
        )
        self.audit_exported = Counter(
            "coordinator_audit_exported", "Audit entries a sink took.", ["sink"], registry=self.registry
        )
        self.audit_failures = Counter(
            "coordinator_audit_export_failures",
            "Batches a sink did not take.",
            ["sink"],
            registry=self.registry,
        )
        self.audit_refusals_unrecorded = Counter(
            "coordinator_audit_refusals_unrecorded",
            "Refused registrations beyond what is recorded in the audit log.",
            registry=self.registry,
        )
        self.nodes = Gauge("coordinator_nodes", "Nodes, by presence.", ["presence"], registry=self.registry)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)


METRICS = Metrics()
