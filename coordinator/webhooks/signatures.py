"""Signatures of messages and answers, and the refusal of old and repeated ones."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from coordinator.tailnet.errors import UnauthenticatedError

SIGNATURE_HEADER = "X-Coordinator-Signature"
TIMESTAMP_HEADER = "X-Coordinator-Timestamp"
SLACK_SIGNATURE_HEADER = "X-Slack-Signature"
SLACK_TIMESTAMP_HEADER = "X-Slack-Request-Timestamp"
TOLERANCE_SECONDS = 300
"""How far clocks may differ; Slack recommends five minutes."""
MOST_SEEN = 10_000
"""Only genuine answers are remembered; so many within `TOLERANCE_SECONDS` are no people."""
_LONGEST_TIMESTAMP = 12


def coordinator_signature(secret: str, timestamp: str, body: bytes) -> str:
    """Of generic webhooks, both ways: HMAC-SHA256 over `timestamp.body`."""
    return "sha256=" + _digest(secret, _bytes(timestamp) + b"." + body)


def slack_signature(secret: str, timestamp: str, body: bytes) -> str:
    """Of Slack's requests. Source: Slack's documentation, "Verifying requests from Slack"."""
    return "v0=" + _digest(secret, b"v0:" + _bytes(timestamp) + b":" + body)


class AnswerGate:
    """Lets each genuine answer through once, while it is fresh.

    What a restart forgets does no harm: who has answered a request cannot answer it again.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def require(self, *, given: str, expected: str, timestamp: str, now: datetime) -> None:
        """Check a signature and its time.

        Args:
            given: As it came.
            expected: As it has to be.
            timestamp: Seconds since 1970, covered by the signature.
            now: The time.

        Raises:
            UnauthenticatedError: forged, too old, from the future, or seen before.
        """
        if not hmac.compare_digest(_bytes(given), _bytes(expected)):
            raise UnauthenticatedError("the signature does not fit: the secrets on both sides differ")
        usable = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _LONGEST_TIMESTAMP
        present = int(now.timestamp())
        if not usable or abs(present - int(timestamp)) > TOLERANCE_SECONDS:
            raise UnauthenticatedError(
                f"the timestamp is more than {TOLERANCE_SECONDS} seconds off; are both clocks right?"
            )
        self._forget(present)
        if given in self._seen:
            raise UnauthenticatedError("this very answer has come before")
        self._seen[given] = present

    def _forget(self, present: int) -> None:
        # Twice the tolerance: one from the future stays fresh that long.
        oldest = present - 2 * TOLERANCE_SECONDS
        while self._seen:
            first = next(iter(self._seen))
            if self._seen[first] >= oldest and len(self._seen) < MOST_SEEN:
                return
            del self._seen[first]


def _digest(secret: str, message: bytes) -> str:
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


def _bytes(header: str) -> bytes:
    """A header as it came: what is not UTF-8 stands in it as half a surrogate pair."""
    return header.encode("utf-8", "surrogateescape")
