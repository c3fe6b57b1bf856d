"""`/access/hooks/NAME`: where answers of chats and programs arrive.

First it is proven that the answer comes from the receiver of our messages, then the person it names is
looked up, and then that person has to be an approver like anybody else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.services.access_answers import AccessAnswers
from coordinator.services.access_people import AccessPeople
from coordinator.services.rate_limits import RateLimits
from coordinator.services.users import UserService
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import (
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from coordinator.tailnet.users import User
from coordinator.telemetry.tasks import spawn
from coordinator.web.origin import source_of
from coordinator.webhooks.answers import Pressed, read_generic, read_mattermost, read_slack
from coordinator.webhooks.config import HookConfig
from coordinator.webhooks.delivery import post
from coordinator.webhooks.events import moment
from coordinator.webhooks.messages import slack_escaped
from coordinator.webhooks.signatures import (
    SIGNATURE_HEADER,
    SLACK_SIGNATURE_HEADER,
    SLACK_TIMESTAMP_HEADER,
    TIMESTAMP_HEADER,
    AnswerGate,
    coordinator_signature,
    slack_signature,
)

log = structlog.get_logger(__name__)

HOOK_PATH = "/access/hooks/"
MAX_BODY = 64 * 1024
"""Slack sends the message along with the answer."""
MOST_REPLIES = 50
"""Replies to Slack under way; more would mean that Slack is gone, and are left out."""


class AccessHookRoutes:
    """Handlers of the public listener.

    Args:
        hooks: Those that take answers.
    """

    def __init__(
        self,
        hooks: Sequence[HookConfig],
        *,
        answers: AccessAnswers,
        people: AccessPeople,
        users: UserService,
        limits: RateLimits,
        clock: Clock,
    ) -> None:
        self._hooks = {hook.name: hook for hook in hooks if hook.takes_answers}
        self._answers = answers
        self._people = people
        self._users = users
        self._limits = limits
        self._clock = clock
        self._gates = {name: AnswerGate() for name in self._hooks}
        self._replies: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.post(HOOK_PATH + "{name}", self._take)] if self._hooks else []

    async def close(self) -> None:
        """Stop replying."""
        for task in self._replies:
            task.cancel()
        await asyncio.gather(*self._replies, return_exceptions=True)

    async def _take(self, request: web.Request) -> web.Response:
        remote = request.remote or ""
        self._limits.check("webhook", remote)
        hook = self._hooks.get(request.match_info["name"])
        if hook is None:
            raise NotFoundError("there is no webhook of that name that takes answers")
        body = await _read(request)
        with acting_from(Origin(source=source_of(request))):
            try:
                if hook.kind == "slack":
                    return await self._slack(hook, request, body)
                if hook.kind == "mattermost":
                    return await self._mattermost(hook, body)
                return await self._generic(hook, request, body)
            except UnauthenticatedError as error:
                self._limits.failed(remote)
                log.warning("webhook answer refused", sink=hook.name, remote=remote, reason=error.message)
                raise

    # Slack

    async def _slack(self, hook: HookConfig, request: web.Request, body: bytes) -> web.Response:
        timestamp = request.headers.get(SLACK_TIMESTAMP_HEADER, "")
        self._gates[hook.name].require(
            given=request.headers.get(SLACK_SIGNATURE_HEADER, ""),
            expected=slack_signature(hook.secret, timestamp, body),
            timestamp=timestamp,
            now=self._clock(),
        )
        pressed = read_slack(body)
        try:
            answered = await self._press(hook, pressed)
        except CoordinatorError as error:
            self._reply(hook, pressed.response_url, error.message, replace=False)
        else:
            text = self._outcome(answered)
            self._reply(hook, pressed.response_url, text, replace=_over(answered))
        # Anything else makes Slack show a failure of its own beside our reply.
        return web.Response()

    def _reply(self, hook: HookConfig, url: str, text: str, *, replace: bool) -> None:
        """Say what came of it, to all in place of the message, or to the person alone."""
        if _origin(url) != _origin(hook.url) or len(self._replies) >= MOST_REPLIES:
            return
        kind = {"replace_original": True} if replace else {"response_type": "ephemeral"}
        body = json.dumps({"replace_original": False, **kind, "text": slack_escaped(text)}).encode()
        task = spawn("reply to Slack", _post_reply(hook.name, url, body))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    # Mattermost

    async def _mattermost(self, hook: HookConfig, body: bytes) -> web.Response:
        pressed = read_mattermost(body)
        try:
            # A token that is not ours is no refusal for a person to read, but a forgery.
            self._answers.offered(hook.channel, pressed.token)
        except NotFoundError as error:
            raise UnauthenticatedError(error.message) from None
        except CoordinatorError as error:
            return web.json_response({"ephemeral_text": error.message})
        try:
            answered = await self._press(hook, pressed)
        except CoordinatorError as error:
            return web.json_response({"ephemeral_text": error.message})
        text = self._outcome(answered)
        if not _over(answered):
            return web.json_response({"ephemeral_text": text})
        return web.json_response({"update": {"message": text.replace("@", "@\u200b"), "props": {}}})

    # programs

    async def _generic(self, hook: HookConfig, request: web.Request, body: bytes) -> web.Response:
        timestamp = request.headers.get(TIMESTAMP_HEADER, "")
        self._gates[hook.name].require(
            given=request.headers.get(SIGNATURE_HEADER, ""),
            expected=coordinator_signature(hook.secret, timestamp, body),
            timestamp=timestamp,
            now=self._clock(),
        )
        said = read_generic(body)
        user = await self._person(hook, said.person, said.request_id)
        answered = await self._answers.answer(hook.channel, said.request_id, said.decision, user)
        return web.json_response(
            {"request": str(answered.id), "text": self._outcome(answered), "settled": _over(answered)}
        )

    # all of them

    async def _press(self, hook: HookConfig, pressed: Pressed) -> AccessRequest:
        answer = self._answers.offered(hook.channel, pressed.token)
        user = await self._person(hook, pressed.person, answer.request_id)
        return await self._answers.answer_offer(hook.channel, pressed.token, user)

    async def _person(self, hook: HookConfig, person: str, request_id: int) -> User:
        """Whom an account there means here: by the configuration; programs may say it themselves."""
        named = hook.users.get(person, person if hook.kind == "generic" else "")
        try:
            if named:
                return self._users.find(named)
        except NotFoundError:
            log.warning("a webhook names a user who does not exist", sink=hook.name)
        why = (
            f"account `{person}` is nobody here: an administrator names them below `users` of "
            f"webhook `{hook.name}` in `access.webhooks`"
        )
        await self._answers.refuse(hook.channel, request_id, person, why)
        raise ForbiddenError(why)

    def _outcome(self, request: AccessRequest) -> str:
        what = f"request {request.id} of {self._people.login(request.user_id)} for {request.profile}"
        if request.denied_at is not None:
            return f"{what}: denied by {request.denied_by}"
        names = ", ".join(each.by for each in request.approvals)
        if request.opens_at is None:
            return f"{what}: approved by {names}, waits for one more person"
        return f"{what}: approved by {names}, open until {moment(request.closes_at)}"


def _over(request: AccessRequest) -> bool:
    """Whether nobody else has to answer."""
    return request.denied_at is not None or request.opens_at is not None


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_chunked(MAX_BODY):
        body += chunk
        if len(body) > MAX_BODY:
            raise InvalidError(f"the body is larger than {MAX_BODY // 1024} KiB")
    return bytes(body)


async def _post_reply(name: str, url: str, body: bytes) -> None:
    try:
        status = await post(url, body, {"Content-Type": "application/json"})
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        log.warning("reply to Slack not delivered", sink=name, error=type(error).__name__)
        return
    if status >= 300:
        log.warning("reply to Slack not taken", sink=name, status=status)
