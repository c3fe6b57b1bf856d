"""Signed texts that carry one answer to one request for access: in links, and behind buttons.

`DECISION.REQUEST.USER.EXPIRES.SIGNATURE`; the signature is HMAC-SHA256 over the channel and what stands
before it, so a token of one channel is worth nothing in another. Nothing in it is secret but the signature.
That a token works once follows from the request: who has answered cannot answer again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import ExpiredError, NotFoundError

Decision = Literal["approve", "deny"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
ANYBODY = 0
"""In place of a user: whoever the channel says it was."""
LINK = "link"
"""The channel of links; those of webhooks are `webhook NAME`."""
_CONTEXT = b"coordinator access answer 1\n"
_SHAPE = re.compile(r"(approve|deny)\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a token says: `user_id` answers, or `ANYBODY`. `expires` is seconds since 1970."""

    decision: Decision
    request_id: int
    user_id: int
    expires: int

    def belongs_to(self, request: AccessRequest) -> bool:
        """Whether it was made for this very request, and not for one a restored database had under its id."""
        return (self.request_id, self.expires) == (request.id, _seconds(request.answer_by))


def answer_to(request: AccessRequest, decision: Decision, user_id: int) -> Answer:
    """An answer that can be given as long as the request waits."""
    return Answer(
        decision=decision, request_id=request.id, user_id=user_id, expires=_seconds(request.answer_by)
    )


class AnswerTokens:
    """Makes and reads tokens.

    Args:
        key: 32 secret bytes, for nothing else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, channel: str, answer: Answer) -> str:
        """The text, of characters that stand in URLs as they are."""
        body = f"{answer.decision}.{answer.request_id}.{answer.user_id}.{answer.expires}"
        return f"{body}.{self._signature(channel, body)}"

    def read(self, channel: str, text: str, now: datetime) -> Answer:
        """What a text says that came from somewhere.

        Raises:
            NotFoundError: this server did not make it, or not for this channel.
            ExpiredError: the request no longer waits for an answer.
        """
        found = _SHAPE.fullmatch(text)
        body = text.rpartition(".")[0]
        if found is None or not hmac.compare_digest(found[5], self._signature(channel, body)):
            raise NotFoundError("this is no answer that this server has offered; is the link complete?")
        answer = Answer(
            decision="approve" if found[1] == "approve" else "deny",
            request_id=int(found[2]),
            user_id=int(found[3]),
            expires=int(found[4]),
        )
        if now >= datetime.fromtimestamp(answer.expires, UTC):
            raise ExpiredError(
                f"request {answer.request_id} was not answered in time; it has to be made again"
            )
        return answer

    def _signature(self, channel: str, body: str) -> str:
        message = _CONTEXT + f"{channel}\n{body}".encode()
        return urlsafe_b64encode(hmac.digest(self._key, message, hashlib.sha256)).decode().rstrip("=")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
