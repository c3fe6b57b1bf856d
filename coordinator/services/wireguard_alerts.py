"""Alerts about plain WireGuard: a line in the log, an entry of the audit log, a metric.

Entries are called `wireguard.alert`; whoever wants them elsewhere has them carried there like any other entry
(`wireguard.alerts_url`), at least once, also across restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.telemetry.metrics import METRICS

log = structlog.get_logger(__name__)

ALERT = "wireguard.alert"
AlertKind = Literal[
    "unknown-peer",
    "peer-changed",
    "rules-changed",
    "closed-alone",
    "clock",
    "apply-failed",
    "drift",
    "silent-gateway",
    "outside-window",
    "unknown-key",
    "stale-key",
    "old-key",
    "gateway-key-changed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something somebody should look at. `target` is what it is about, such as `wgpeer:7`."""

    kind: AlertKind
    detail: str
    target: str
    name: str = ""
    public_key: str = ""


class WireGuardAlerts:
    """Raises alerts."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def raise_all(self, alerts: Sequence[Alert], actor: Actor) -> None:
        """Record and log alerts.

        Raises:
            UnavailableError: they cannot be stored; nothing was said then.
        """
        if not alerts:
            return

        def command(directory: Directory) -> None:
            now = self._tailnet.clock()
            for alert in alerts:
                after = {"kind": alert.kind, "detail": alert.detail, "public_key": alert.public_key}
                directory.audit(now, actor, ALERT, alert.target, after, name=alert.name)

        await self._tailnet.execute(command)
        for alert in alerts:
            METRICS.wireguard_alerts.labels(kind=alert.kind).inc()
            log.warning("wireguard alert", kind=alert.kind, target=alert.target, detail=alert.detail)
