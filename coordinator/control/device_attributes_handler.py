"""PATCH /machine/set-device-attr: a client sets posture attributes of its own node."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coordinator.control.h2_server import Request, ResponseStream
from coordinator.control.router import answer
from coordinator.services.attributes import AttributeService
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.codec import decode
from coordinator.tailcfg.keys import parse_node_key
from coordinator.tailnet.errors import NotFoundError


class SetDeviceAttributesRequest(
    msgspec.Struct, kw_only=True, rename={"node_key": "NodeKey", "update": "Update"}
):
    """Source: tailscale tailcfg/tailcfg.go (SetDeviceAttributesRequest); None removes an attribute."""

    node_key: str
    update: Mapping[str, str | int | float | bool | None]


class DeviceAttributesHandler:
    """Looks the node up as for a map request, and asks the service."""

    def __init__(self, tailnet: Tailnet, attributes: AttributeService) -> None:
        self._tailnet = tailnet
        self._attributes = attributes

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer 200 when everything was set, and nothing otherwise."""
        document = decode(await request.body(), SetDeviceAttributesRequest)
        record = self._tailnet.snapshot.record_by_key(parse_node_key(document.node_key))
        if record is None or record.expired or record.node.machine_key != request.peer.machine_key:
            raise NotFoundError("node not found")
        await self._attributes.set_by_node(record.node.id, document.update)
        await answer(stream, 200, b"", "application/json")
