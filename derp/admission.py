"""Who may use the relay: asked once per connection, after the client has proven its node key.

`Admission` is what a relay needs; whoever mounts one inside a larger server brings its own. Here are the
three that need nothing else. A relay treats an exception or a late answer as "no": unlike stock relays, which
let everyone in when their call-out cannot be reached.
"""

from collections.abc import Iterable
from typing import Protocol

import aiohttp
import msgspec
import structlog

from derp.keys import format_node_key

__all__ = ["Admission", "AllowAll", "KeyList", "VerifyURL"]

log = structlog.get_logger(__name__)

_MAX_ANSWER = 4096


class Admission(Protocol):
    """Decides who may connect."""

    async def admit(self, node_key: bytes, source: str) -> bool:
        """Whether the holder of `node_key` (32 bytes, proven) may connect from the IP address `source`."""


class AllowAll:
    """Everyone may connect: an open relay. For tests and for closed networks."""

    async def admit(self, node_key: bytes, source: str) -> bool:
        """Yes."""
        return True


class KeyList:
    """A fixed set of node keys, 32 bytes each."""

    def __init__(self, node_keys: Iterable[bytes]) -> None:
        self._node_keys = frozenset(node_keys)

    async def admit(self, node_key: bytes, source: str) -> bool:
        """Whether the key is in the set."""
        return node_key in self._node_keys


class _Answer(msgspec.Struct, rename={"allow": "Allow"}):
    allow: bool = False


class VerifyURL:
    """Asks a coordination server: POST of `{"NodePublic":"nodekey:…","Source":"192.0.2.1"}`, answer
    `{"Allow":true}`.

    Anything but status 200 with that answer means no. Redirects are not followed. Call `close` when done.
    Source: tailscale tailcfg/derpmap.go, DERPAdmitClientRequest.

    Args:
        url: `http://` or `https://`.
        timeout: seconds for the whole exchange.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._client: aiohttp.ClientSession | None = None

    async def admit(self, node_key: bytes, source: str) -> bool:
        """Whether the server says so."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=self._timeout)
        question = {"NodePublic": format_node_key(node_key), "Source": source}
        try:
            async with self._client.post(self._url, json=question, allow_redirects=False) as response:
                if response.status != 200:
                    log.warning("admission call-out refused", url=self._url, status=response.status)
                    return False
                answer = await response.content.read(_MAX_ANSWER)
                while len(answer) < _MAX_ANSWER and (more := await response.content.read(_MAX_ANSWER)):
                    answer += more
            return msgspec.json.decode(answer[:_MAX_ANSWER], type=_Answer).allow
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, RecursionError) as error:
            log.warning("admission call-out failed", url=self._url, error=repr(error))
            return False

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            await self._client.close()
            self._client = None
