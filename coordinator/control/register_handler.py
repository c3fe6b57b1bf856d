"""POST /machine/register."""

from __future__ import annotations

import secrets

import structlog

from coordinator.audit.origin import acting_from
from coordinator.control.h2_server import Request, ResponseStream
from coordinator.control.router import answer_json
from coordinator.services.registration import RegistrationService
from coordinator.tailcfg.capver import MINIMUM
from coordinator.tailcfg.codec import decode, encode
from coordinator.tailcfg.register import NOBODY, RegisterRequest, RegisterResponse
from coordinator.tailnet.actors import Origin


class RegisterHandler:
    """Decodes, asks the service, encodes."""

    def __init__(self, registration: RegistrationService) -> None:
        self._registration = registration

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer one RegisterRequest; held open while a person decides."""
        document = decode(await request.body(), RegisterRequest)
        if document.version < MINIMUM:
            text = "this client is too old for this server: update Tailscale to 1.80 or newer"
            response = RegisterResponse(user=NOBODY, login=NOBODY, error=text)
        else:
            # The id stands in the log and in the audit log.
            origin = Origin(source=request.peer.remote, request_id=secrets.token_hex(6))
            with acting_from(origin), structlog.contextvars.bound_contextvars(request_id=origin.request_id):
                response = await self._registration.register(
                    request.peer.machine_key, document, remote=request.peer.remote
                )
        await answer_json(stream, encode(response))
