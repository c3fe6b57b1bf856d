"""`/access`: ask for access, answer others, give back; plain pages that work without JavaScript.

Who visits is for somebody else to say: the session of a login (`web.access_sessions`), or the listener inside
the tailnet. Both are proofs a browser gives by itself, so each form carries a text that only a page of ours
can know, bound to the person and their machine.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from aiohttp import web

from acl.durations import DurationError
from acl.profiles import duration_seconds
from coordinator.audit.origin import acting_from, current_origin
from coordinator.services.access import AccessService
from coordinator.services.access_people import AccessPeople
from coordinator.services.access_rules import Asked
from coordinator.tailnet.actors import NOWHERE, Actor, Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import CoordinatorError, ForbiddenError, InvalidError, UnauthenticatedError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.timed_tokens import TimedTokens
from coordinator.tailnet.users import User, require_active
from coordinator.web.access_html import error_page, private_page
from coordinator.web.access_overview import ACCESS_PATH, AccessOverview
from coordinator.web.api.body import parse_id
from coordinator.web.origin import source_of

FORM_LIFETIME = timedelta(hours=12)
MAX_FIELD = 2000
_SAID = {
    "asked": "Your request is made.",
    "approve": "Your approval counts.",
    "deny": "The request is denied.",
    "give-back": "Given back.",
}


class Visitor(Protocol):
    """Somebody who proved who they are; `node` is the machine that proves it, where one does."""

    @property
    def user(self) -> User:
        """The person, as they are now."""

    @property
    def node(self) -> Node | None:
        """The machine, of which this person is the owner."""


Identify = Callable[[web.Request], Awaitable[Visitor | None]]
"""Who visits; None: nobody that is known, yet."""
Welcome = Callable[[web.Request], Awaitable[web.Response]]
"""What somebody unknown gets, such as the way to a login."""
SignOut = Callable[[], web.Response]
Done = Callable[[web.Request, Visitor, "Form"], Awaitable[str]]


class AccessPages:
    """Handlers of the pages.

    Args:
        identify: Says who visits.
        form_key: 32 secret bytes for the forms.
        welcome: Answers those who are unknown; without it they are refused.
        sign_out: Ends the visitor's session; None where there is none to end.
    """

    def __init__(
        self,
        *,
        access: AccessService,
        people: AccessPeople,
        identify: Identify,
        form_key: bytes,
        clock: Clock,
        welcome: Welcome | None = None,
        sign_out: SignOut | None = None,
    ) -> None:
        self._access = access
        self._people = people
        self._identify = identify
        self._forms = TimedTokens(form_key, "form", FORM_LIFETIME)
        self._clock = clock
        self._welcome = welcome
        self._sign_out = sign_out
        self._overview = AccessOverview(access, people)

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        changes = {
            f"{ACCESS_PATH}/ask": self._ask,
            f"{ACCESS_PATH}/requests/{{request_id}}/approve": self._approve,
            f"{ACCESS_PATH}/requests/{{request_id}}/deny": self._deny,
            f"{ACCESS_PATH}/requests/{{request_id}}/give-back": self._give_back,
        }
        routes = [web.get(ACCESS_PATH, self._show)]
        routes += [web.post(path, self._change(done)) for path, done in changes.items()]
        if self._sign_out is not None:
            routes.append(web.post(f"{ACCESS_PATH}/sign-out", self._leave))
        return routes

    async def _show(self, request: web.Request) -> web.Response:
        try:
            visitor = await self._identify(request)
            if visitor is None and self._welcome is not None:
                return await self._welcome(request)
            visitor = _known(visitor)
        except CoordinatorError as error:
            return error_page(error)
        said = _SAID.get(request.query.get("said", ""), "")
        notice = f'<p id="said"><b>{html.escape(said)}</b></p>' if said else ""
        csrf = self._forms.make(_subject(visitor), self._clock())
        body = self._overview.body(visitor.user, visitor.node, csrf, sign_out=self._sign_out is not None)
        return private_page(200, "Access", notice + body)

    def _change(self, done: Done) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler that lets `done` do something, once it is clear who wants it, and that they do."""

        async def handler(request: web.Request) -> web.Response:
            back = f'<p><a href="{ACCESS_PATH}">Back</a></p>'
            # The listener inside the tailnet has set an origin with the id of the request already.
            origin = current_origin()
            with acting_from(Origin(source=source_of(request)) if origin == NOWHERE else origin):
                try:
                    visitor, form = await self._form(request)
                    said = await done(request, visitor, form)
                except CoordinatorError as error:
                    return error_page(error, more=back)
            headers = {"Location": f"{ACCESS_PATH}?said={said}", "Cache-Control": "no-store"}
            return web.Response(status=303, headers=headers)

        return handler

    async def _form(self, request: web.Request) -> tuple[Visitor, Form]:
        visitor = _known(await self._identify(request))
        form = await Form.read(request)
        if self._forms.read(form.text("csrf"), self._clock()) != _subject(visitor):
            raise ForbiddenError("this form is not from a page of yours, or too old; open the page again")
        return visitor, form

    async def _ask(self, request: web.Request, visitor: Visitor, form: Form) -> str:
        node_id = parse_id("node", form.text("node")) if form.text("node") else None
        if visitor.node is not None and node_id != visitor.node.id:
            raise ForbiddenError(f"from `{visitor.node.given_name}` you ask for that machine only")
        asked = Asked(
            profile=form.text("profile"),
            user=visitor.user,
            node_id=node_id,
            duration=_duration(form.text("for")),
            reason=form.text("reason"),
            ticket=form.text("ticket"),
            break_glass=form.text("break_glass") == "yes",
        )
        await self._access.request(asked, actor=_actor(visitor))
        return "asked"

    async def _approve(self, request: web.Request, visitor: Visitor, form: Form) -> str:
        number, actor = _number(request), _actor(visitor)
        await self._access.approve(number, by=visitor.user, actor=actor, via="page")
        return "approve"

    async def _deny(self, request: web.Request, visitor: Visitor, form: Form) -> str:
        number, actor = _number(request), _actor(visitor)
        await self._access.deny(number, by=visitor.user, actor=actor, via="page")
        return "deny"

    async def _give_back(self, request: web.Request, visitor: Visitor, form: Form) -> str:
        found = self._access.get(_number(request))
        if found.user_id != visitor.user.id:
            raise ForbiddenError("only who asked for it can give it back")
        await self._access.revoke(found.id, by=visitor.user, actor=_actor(visitor))
        return "give-back"

    async def _leave(self, request: web.Request) -> web.Response:
        assert self._sign_out is not None
        try:
            await self._form(request)
        except CoordinatorError as error:
            return error_page(error)
        return self._sign_out()


class Form:
    """Fields of a form that was sent."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    @classmethod
    async def read(cls, request: web.Request) -> Form:
        """The fields of a request; InvalidError when it is no form."""
        try:
            sent = await request.post()
        except (ValueError, LookupError):
            raise InvalidError("this is not what a form of this page sends") from None
        return cls({name: value for name, value in sent.items() if isinstance(value, str)})

    def text(self, name: str) -> str:
        """One field without blanks at its ends, empty when it is missing.

        Raises:
            InvalidError: it is too long, or holds what no database can keep.
        """
        text = self._fields.get(name, "").strip()
        if len(text) > MAX_FIELD:
            raise InvalidError(f"`{name}` is longer than {MAX_FIELD} characters")
        if "\0" in text or not text.encode("utf-8", "replace").decode() == text:
            raise InvalidError(f"`{name}` holds a character that cannot be stored")
        return text


def _known(visitor: Visitor | None) -> Visitor:
    if visitor is None:
        raise UnauthenticatedError("nobody is logged in here; open the page again")
    require_active(visitor.user)
    return visitor


def _subject(visitor: Visitor) -> tuple[int, ...]:
    return visitor.user.id, visitor.node.id if visitor.node is not None else 0


def _actor(visitor: Visitor) -> Actor:
    if visitor.node is not None:
        return Actor(kind="node", name=str(visitor.node.id))
    return Actor(kind="user", name=visitor.user.login)


def _number(request: web.Request) -> int:
    return parse_id("request", request.match_info["request_id"])


def _duration(text: str) -> timedelta | None:
    if not text:
        return None
    try:
        return timedelta(seconds=duration_seconds(text))
    except (DurationError, OverflowError):
        raise InvalidError(f"`{text[:40]}` is not a duration such as 90m or 4h") from None
