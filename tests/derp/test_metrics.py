"""metrics: every number appears, under a name of its own."""

from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest

from derp.metrics import RelayCollector, Stats
from derp.send_queue import DropReason


def shown(stats: Stats) -> str:
    registry = CollectorRegistry()
    registry.register(RelayCollector(stats))
    return generate_latest(registry).decode()


def test_every_number_is_shown() -> None:
    stats = Stats()
    for number, field in enumerate(fields(Stats), start=1):
        value = getattr(stats, field.name)
        setattr(stats, field.name, {"why": number} if isinstance(value, dict) else number)
    lines = set(shown(stats).splitlines())
    for number, field in enumerate(fields(Stats), start=1):
        expected = {
            f"derp_{field.name} {number}.0",
            f"derp_{field.name}_total {number}.0",
            f'derp_{field.name}_total{{reason="why"}} {number}.0',
        }
        assert expected & lines, field.name


def test_reasons_are_counted_apart() -> None:
    stats = Stats()
    stats.dropped(DropReason.QUEUE_FULL)
    stats.dropped(DropReason.QUEUE_FULL, 2)
    stats.dropped(DropReason.DISCONNECTED, 0)
    stats.ended("a")
    stats.ended("b")
    assert stats.packets_dropped == {"queue_full": 3}
    assert stats.connections_ended == {"a": 1, "b": 1}
