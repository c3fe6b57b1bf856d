"""Messages on their way out: each at least once, in order, from the audit log.

The log is the backlog, so nothing is lost by a restart and nothing that asks for access ever waits for a
receiver. What has become older than `MAX_AGE` while a receiver was away is left out: nobody wants to be told
by then, and a receiver that never comes back must not be owed more and more.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import structlog

from coordinator.audit.entry import SealedEntry
from coordinator.audit.sinks import SinkError
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import ConflictError
from coordinator.telemetry.metrics import METRICS
from coordinator.webhooks.config import HookConfig
from coordinator.webhooks.events import AccessEvent
from coordinator.webhooks.messages import Buttons, generic_message, mattermost_message, slack_message
from coordinator.webhooks.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, coordinator_signature

log = structlog.get_logger(__name__)

SEND_SECONDS = 10.0
MAX_AGE = timedelta(hours=24)
UNUSABLE = frozenset({400, 413, 422})
"""The receiver will never take this message; it must not hold up those behind it."""

Describe = Callable[[SealedEntry], Awaitable[AccessEvent | None]]
Offer = Callable[[HookConfig, AccessEvent], Buttons]
Link = Callable[[HookConfig, AccessEvent], Awaitable[Sequence[Mapping[str, str]]]]


class WebhookSink:
    """A sink of the audit log that tells some of its entries.

    Args:
        config: Which webhook.
        describe: What an entry means; None for those that are not told.
        offer: Makes buttons.
        link: Makes one-time links.
        clock: The time.
    """

    def __init__(
        self, config: HookConfig, *, describe: Describe, offer: Offer, link: Link, clock: Clock
    ) -> None:
        # The URL may be a secret, so the name stands in logs and metrics.
        self.name = f"access:{config.name}"
        self._config = config
        self._describe = describe
        self._offer = offer
        self._link = link
        self._clock = clock
        self._done = 0
        self._links: tuple[int, Sequence[Mapping[str, str]]] = (0, ())

    async def send(self, entries: Sequence[SealedEntry]) -> None:
        """Tell what there is to tell; of a batch that failed, what went out is not sent again."""
        for entry in entries:
            if entry.id <= self._done:
                continue
            event = await self._describe(entry)
            if event is not None and event.name in self._config.events:
                await self._tell(event)
            self._done = entry.id

    async def _tell(self, event: AccessEvent) -> None:
        if self._clock() - datetime.fromisoformat(event.at) > MAX_AGE:
            log.warning("webhook message left out: too old", sink=self.name, access_id=event.request.id)
            METRICS.webhook_messages.labels(sink=self.name, outcome="too_old").inc()
            return
        status = await self._post(await self._message(event))
        if 200 <= status < 300:
            METRICS.webhook_messages.labels(sink=self.name, outcome="sent").inc()
        elif status in UNUSABLE:
            log.error(
                "webhook message refused by its receiver",
                sink=self.name,
                status=status,
                access_id=event.request.id,
            )
            METRICS.webhook_messages.labels(sink=self.name, outcome="refused").inc()
        else:
            raise SinkError(f"the receiver answered {status}")

    async def _message(self, event: AccessEvent) -> dict[str, Any]:
        config = self._config
        answerable = event.open_question and config.takes_answers
        if config.kind == "generic":
            links = await self._links_of(event) if config.links and event.open_question else ()
            return generic_message(event, config.answer_url if answerable else "", links)
        buttons = self._offer(config, event) if answerable else None
        make = slack_message if config.kind == "slack" else mattermost_message
        return make(event, buttons)

    async def _links_of(self, event: AccessEvent) -> Sequence[Mapping[str, str]]:
        """Made once for an event, however often it is sent: each making is recorded."""
        if self._links[0] != event.id:
            try:
                self._links = event.id, await self._link(self._config, event)
            except ConflictError as error:
                log.warning("webhook message without links", sink=self.name, reason=error.message)
                self._links = event.id, ()
        return self._links[1]

    async def _post(self, document: Mapping[str, Any]) -> int:
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        if self._config.kind == "generic":
            timestamp = str(int(self._clock().timestamp()))
            headers[TIMESTAMP_HEADER] = timestamp
            headers[SIGNATURE_HEADER] = coordinator_signature(self._config.secret, timestamp, body)
        try:
            return await post(self._config.url, body, headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Not its text, which may hold the URL.
            raise SinkError(f"the receiver cannot be reached: {type(error).__name__}") from error


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """POST once, without following redirects; returns the status.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: there was no answer within `SEND_SECONDS`.
    """
    timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
    # A connection of its own: messages are rare, and an old one may be dead without our knowing.
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status
