"""From settings to the audit log's sinks, and the entries of the server itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from coordinator.audit.export import Exporter
from coordinator.audit.sinks import FileSink, Sink, SyslogSink, WebhookSink
from coordinator.services.audit import AuditService
from coordinator.services.audit_retention import AuditRetention
from coordinator.services.policy import PolicyService
from coordinator.services.policy_records import fingerprint
from coordinator.services.tailnet import Tailnet
from coordinator.settings.model import Audit
from coordinator.store.store import Store
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.version import version_document

SERVER = Actor(kind="system", name="server")


def make_sinks(settings: Audit) -> list[Sink]:
    """The sinks that are configured."""
    sinks: list[Sink] = []
    if settings.file_path is not None:
        sinks.append(FileSink(settings.file_path))
    if settings.syslog is not None:
        transport, address = settings.syslog
        sinks.append(SyslogSink(transport, address, socket.gethostname()))
    if settings.https_url:
        sinks.append(WebhookSink(settings.https_url, settings.https_token.reveal()))
    return sinks


async def start_audit(
    stack: AsyncExitStack,
    settings: Audit,
    store: Store,
    tailnet: Tailnet,
    policy: PolicyService,
    more: Sequence[Sink] = (),
    *,
    on_duty: Callable[[], bool],
) -> AuditService:
    """Start the sinks, and record that the server started: with which version, under which policy.

    The policy file may have been another one while no server was there to see it change. `more` are sinks of
    others; `on_duty` says whether this instance does what only one shall do.
    """
    sinks = [*make_sinks(settings), *more]
    exporter = Exporter(store.audit, sinks, on_duty=on_duty)
    exporter.start()
    stack.push_async_callback(exporter.close)
    names = [sink.name for sink in sinks]
    retention = AuditRetention(store.audit, settings.retention, names, tailnet.clock, on_duty)
    retention.start()
    stack.push_async_callback(retention.close)
    after = {"version": version_document()["version"], "policy": fingerprint(policy.text)}

    def started(directory: Directory) -> None:
        directory.audit(tailnet.clock(), SERVER, "server.start", "server:self", after)

    await tailnet.execute(started)
    return AuditService(store.audit)
