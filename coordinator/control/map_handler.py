"""POST /machine/map: polls, lite updates and one-shots.

For every request the node is looked up by NodeKey *and* compared with the machine key of the Noise session.
An unknown and a foreign NodeKey get the same answer: for a poll a tombstone map, else 404.
"""

from __future__ import annotations

import asyncio

import structlog

from coordinator.control.h2_server import Request, ResponseStream
from coordinator.control.router import answer
from coordinator.control.turns import Turns
from coordinator.netmap.builder import full_map, tombstone
from coordinator.services.map_sessions import MapSessions
from coordinator.services.nodes import NodeService
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.capver import CERT_PIN, MINIMUM
from coordinator.tailcfg.codec import decode
from coordinator.tailcfg.errors import WireError
from coordinator.tailcfg.framing import frame, message, uncompressed
from coordinator.tailcfg.hostinfo import merge, preferred_derp
from coordinator.tailcfg.keys import is_zero, parse_disco_key, parse_node_key
from coordinator.tailcfg.map_request import MAX_VERSION, ZSTD, MapRequest, usable_endpoints
from coordinator.tailnet.errors import CoordinatorError, NotFoundError
from coordinator.tailnet.snapshot import NodeRecord
from coordinator.telemetry.metrics import METRICS

log = structlog.get_logger(__name__)

TOMBSTONE_KEEPALIVE_SECONDS = 55
"""A tombstone stream stays open, quiet but alive; clients give up after 120 s of silence."""

_HEAD = {"content-type": "application/json"}


class MapHandler:
    """Tells the three modes of a MapRequest apart and serves them."""

    def __init__(self, tailnet: Tailnet, sessions: MapSessions, nodes: NodeService) -> None:
        self._tailnet = tailnet
        self._sessions = sessions
        self._nodes = nodes
        self._turns = Turns()

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer one MapRequest."""
        document = decode(await request.body(), MapRequest)
        if document.version < MINIMUM:
            raise WireError("this client is too old for this server: update Tailscale to 1.80 or newer")
        record = self._known(request, document)
        pinning = document.version >= CERT_PIN
        if record is None:
            if not document.stream:
                raise NotFoundError("node not found")
            await self._bury(request, document, stream, pinning=pinning)
            return
        if not document.read_only:
            record = await self._take_facts(record, document)
        if document.stream:
            await stream.send_head(200, _HEAD)
            await self._turn()
            current = self._known(request, document)
            if current is None:
                # Deleted while it waited: a new poll is told so.
                stream.reset()
                return
            record = current
            stream.detach()
            self._sessions.open(
                record,
                stream,
                pinning=pinning,
                keepalives=document.keep_alive,
                compressed=document.compress == ZSTD,
            )
        elif document.omit_peers:
            await answer(stream, 200, b"", "application/json")
        else:
            await self._turn()
            now = self._tailnet.clock()
            frames, _ = full_map(self._tailnet.world, record, pinning=pinning, now=now)
            await answer(stream, 200, _as_wanted(document, frame(frames)), "application/json")

    async def _turn(self) -> None:
        METRICS.waiting_maps.inc()
        try:
            await self._turns.take()
        finally:
            METRICS.waiting_maps.dec()

    def _known(self, request: Request, document: MapRequest) -> NodeRecord | None:
        record = self._tailnet.snapshot.record_by_key(parse_node_key(document.node_key))
        if record is None or record.node.machine_key != request.peer.machine_key:
            return None
        return record

    async def _take_facts(self, record: NodeRecord, document: MapRequest) -> NodeRecord:
        """Take over what the client says of itself, where it differs."""
        node = record.node
        facts: dict[str, object] = {"cap_version": min(document.version, MAX_VERSION)}
        if document.disco_key:
            disco_key = parse_disco_key(document.disco_key)
            if not is_zero(disco_key):
                facts["disco_key"] = disco_key
        if document.hostinfo is not None:
            hostinfo = merge(node.hostinfo, document.hostinfo)
            if hostinfo != node.hostinfo:
                facts["hostinfo"] = hostinfo
            facts["home_derp"] = preferred_derp(hostinfo) or node.home_derp
        if document.endpoints is not None or document.omit_peers:
            endpoints = usable_endpoints(document.endpoints)
            # The order means nothing; telling everyone of a mere reordering would.
            if set(endpoints) != set(node.endpoints):
                facts["endpoints"] = endpoints
        updated = self._tailnet.update_volatile(node.id, **facts)
        if updated is None:
            raise NotFoundError("node not found")
        if "hostinfo" in facts:
            try:
                await self._nodes.hostinfo_changed(node.id)
            except CoordinatorError as error:
                # The client repeats its Hostinfo with the next update; its map must not wait for this.
                log.warning("hostinfo not evaluated", node_id=node.id, reason=error.message)
            updated = self._tailnet.snapshot.record(node.id)
            if updated is None:
                raise NotFoundError("node not found")
        return updated

    async def _bury(
        self, request: Request, document: MapRequest, stream: ResponseStream, *, pinning: bool
    ) -> None:
        """Tell a client that its node is gone, and keep it quiet until it logs in again."""
        log.info("tombstone map", machine_key=request.peer.machine_key[:13])
        frames = tombstone(
            self._tailnet.world,
            node_key=parse_node_key(document.node_key),
            machine_key=request.peer.machine_key,
            pinning=pinning,
            now=self._tailnet.clock(),
        )
        await stream.send_head(200, _HEAD)
        await stream.send(_as_wanted(document, frame(frames)))
        beat = _as_wanted(document, message(b'{"KeepAlive":true}\n'))
        while True:
            await asyncio.sleep(TOMBSTONE_KEEPALIVE_SECONDS)
            await stream.send(beat)


def _as_wanted(document: MapRequest, framed: bytes) -> bytes:
    return framed if document.compress == ZSTD else uncompressed(framed)
