"""The line to the server: the wish by long poll, and reports."""

from __future__ import annotations

import random
import ssl
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import msgspec

from coordinator.gateway.checked import shown
from coordinator.gateway.http_client import HttpClient, HttpError, TooLargeError
from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH, Report, Wish

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 15.0
LARGEST_WISH = 64 * 1024 * 1024
"""Bytes; a thousand peers are about half a megabyte."""


class AwayError(Exception):
    """The server cannot be reached, or answers nonsense; the text says which."""


class RefusedError(AwayError):
    """The server does not know the token (any more)."""


class Link:
    """Requests to one server. Used as an asynchronous context manager.

    Args:
        url: of the server, without a path of its own or with one in front.
        token: as `wireguard gateways create` printed it.
        tls: for https with a private certificate authority.
    """

    def __init__(self, url: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self._base = url.rstrip("/")
        self._http = HttpClient(self._base, {"Authorization": f"Bearer {token}"}, tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def wish(self, have: str, wait: int) -> Wish | None:
        """Ask for another wish than `have`; None when there is none within `wait` seconds.

        Raises:
            RefusedError: 401.
            AwayError: anything else that is not an answer.
        """
        body = await self._ask("GET", WISH_PATH, wait, params={"have": have, "wait": str(wait)})
        if body is None:
            return None
        try:
            return msgspec.json.decode(body, type=Wish)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise AwayError(f"the server's wish cannot be read: {shown(str(error))}") from error

    async def report(self, report: Report) -> None:
        """Hand a report in.

        Raises:
            RefusedError: 401.
            AwayError: it may not have arrived.
        """
        await self._ask("POST", REPORT_PATH, 0, body=msgspec.json.encode(report))

    async def _ask(
        self,
        method: str,
        path: str,
        wait: int,
        *,
        params: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes | None:
        try:
            # Redirects are not followed: they would carry the token to somebody else.
            answer = await self._http.request(
                method,
                f"{path}?{urlencode(params)}" if params else path,
                body=body,
                connect_timeout=_CONNECT_TIMEOUT_S,
                timeout=wait + _ANSWER_TIMEOUT_S,
                largest=LARGEST_WISH,
            )
        except TimeoutError as error:
            raise AwayError(f"no answer from {self._base} in time") from error
        except TooLargeError as error:
            raise AwayError(f"the server's wish is larger than {LARGEST_WISH} bytes") from error
        except HttpError as error:
            raise AwayError(f"{self._base} cannot be reached: {shown(str(error))}") from error
        if answer.status == 204:
            return None
        if answer.status == 401:
            raise RefusedError("the server does not accept the token; create or rotate it there")
        if answer.status != 200:
            text = answer.body.decode(errors="replace")
            raise AwayError(f"the server answered {answer.status} {shown(text)}".strip())
        return answer.body


class Backoff:
    """Waits that double up to an end, each shortened at random so that gateways do not return together."""

    def __init__(self, first: float = 0.5, longest: float = 15.0) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def reset(self) -> None:
        """It worked."""
        self._next = self._first

    def wait(self) -> float:
        """Seconds until the next attempt."""
        now, self._next = self._next, min(self._longest, self._next * 2)
        return now * random.uniform(0.5, 1.0)
