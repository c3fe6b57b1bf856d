"""GET /machine/ssh/action/from/{source}/to/{destination}: what to do with an SSH session in check mode."""

from __future__ import annotations

import re

from coordinator.control.h2_server import Request, ResponseStream
from coordinator.control.router import answer_json
from coordinator.netmap.ssh import ACTION_PATH
from coordinator.services.ssh_checks import SSHAttempt, SSHChecks
from coordinator.tailcfg.codec import encode
from coordinator.tailnet.errors import NotFoundError

# NodeIDs are positive 63-bit numbers.
_PATH = re.compile(re.escape(ACTION_PATH) + r"from/([0-9]{1,18})/to/([0-9]{1,18})")


class SSHActionHandler:
    """Reads the session off the URL the client filled in, asks the service, encodes."""

    def __init__(self, checks: SSHChecks) -> None:
        self._checks = checks

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer with an SSHAction; held open while a person decides."""
        found = _PATH.fullmatch(request.path)
        if found is None:
            raise NotFoundError("not found")
        action = await self._checks.answer(
            SSHAttempt(
                machine_key=request.peer.machine_key,
                source=int(found[1]),
                destination=int(found[2]),
                ssh_user=request.query.get("ssh_user", ""),
                local_user=request.query.get("local_user", ""),
                check_id=request.query.get("auth_id", ""),
            )
        )
        await answer_json(stream, encode(action))
