"""Signed texts that say a few numbers until a moment: sessions of browsers, and proofs that a form is ours.

`NUMBER-NUMBER….EXPIRES.SIGNATURE`, with HMAC-SHA256 over the purpose and what stands before it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

_SHAPE = re.compile(r"([0-9]{1,18}(?:-[0-9]{1,18}){0,3})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


class TimedTokens:
    """Makes and reads texts for one purpose.

    Args:
        key: Secret bytes; may serve several purposes.
        purpose: What the texts are for; one for another purpose is not read.
        lifetime: How long they are good.
    """

    def __init__(self, key: bytes, purpose: str, lifetime: timedelta) -> None:
        self._key = key
        self._purpose = purpose
        self._lifetime = lifetime

    def make(self, numbers: tuple[int, ...], now: datetime) -> str:
        """A text that says these numbers, one to four that are not negative."""
        expires = int((now + self._lifetime).timestamp())
        body = f"{'-'.join(map(str, numbers))}.{expires}"
        return f"{body}.{self._signature(body)}"

    def read(self, text: str, now: datetime) -> tuple[int, ...] | None:
        """The numbers; None for every text that is not ours, or no longer good."""
        found = _SHAPE.fullmatch(text)
        if found is None:
            return None
        if not hmac.compare_digest(found[3], self._signature(f"{found[1]}.{found[2]}")):
            return None
        if now >= datetime.fromtimestamp(int(found[2]), UTC):
            return None
        return tuple(map(int, found[1].split("-")))

    def _signature(self, body: str) -> str:
        message = f"coordinator timed token 1\n{self._purpose}\n{body}".encode()
        return urlsafe_b64encode(hmac.digest(self._key, message, hashlib.sha256)).decode().rstrip("=")
