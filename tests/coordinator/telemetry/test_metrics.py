"""Metrics."""

from __future__ import annotations

from coordinator.telemetry.metrics import Metrics


def test_each_metric_can_be_driven_above_zero() -> None:
    metrics = Metrics()
    metrics.map_responses.labels(kind="full").inc()
    metrics.map_size_bytes.labels(kind="full").observe(10)
    metrics.sessions.set(3)
    metrics.fanout_seconds.observe(0.01)
    metrics.registrations.labels(outcome="confirm").inc()
    metrics.loop_lag_seconds.observe(0.02)
    metrics.waiting_commands.set(4)
    metrics.nodes.labels(presence="online").set(2)
    text = metrics.render().decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_info", "python_gc_"):
        assert name in text
    for name in (
        'map_responses_total{kind="full"} 1.0',
        'map_size_bytes_sum{kind="full"} 10.0',
        "map_sessions 3.0",
        "fanout_seconds_count 1.0",
        'registrations_total{outcome="confirm"} 1.0',
        "loop_lag_seconds_count 1.0",
        'nodes{presence="online"} 2.0',
        "waiting_commands 4.0",
    ):
        assert f"coordinator_{name}" in text
