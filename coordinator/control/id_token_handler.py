"""POST /machine/id-token: a client wants to prove to somebody else who it is."""

from __future__ import annotations

import secrets

import msgspec

from coordinator.audit.origin import acting_from
from coordinator.control.h2_server import Request, ResponseStream
from coordinator.control.router import answer_json
from coordinator.services.id_tokens import IDTokens
from coordinator.tailcfg.codec import decode, encode
from coordinator.tailcfg.keys import parse_node_key
from coordinator.tailnet.actors import Origin


class TokenRequest(msgspec.Struct, kw_only=True, rename={"node_key": "NodeKey", "audience": "Audience"}):
    """Source: tailscale tailcfg/tailcfg.go (TokenRequest)."""

    node_key: str
    audience: str = ""


class TokenResponse(msgspec.Struct):
    """Source: tailscale tailcfg/tailcfg.go (TokenResponse)."""

    id_token: str


class IDTokenHandler:
    """Decodes, asks the service, encodes."""

    def __init__(self, tokens: IDTokens) -> None:
        self._tokens = tokens

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer with a token for the node that asks; clients show the text of a refusal."""
        document = decode(await request.body(), TokenRequest)
        with acting_from(Origin(source=request.peer.remote, request_id=secrets.token_hex(6))):
            token = await self._tokens.issue(
                request.peer.machine_key, parse_node_key(document.node_key), document.audience
            )
        await answer_json(stream, encode(TokenResponse(id_token=token)))
