"""/api/v1/access: profiles, requests, decisions, incidents and figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aiohttp import web

from acl import AccessProfile
from acl.durations import DurationError
from acl.profiles import default_seconds, duration_seconds, max_seconds
from coordinator.services.access import AccessService
from coordinator.services.access_report import report
from coordinator.services.access_rules import Asked
from coordinator.services.access_scope import AccessScope
from coordinator.services.incidents import IncidentService
from coordinator.services.minted_machines import MintedMachines
from coordinator.services.users import UserService
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.tailnet.users import User
from coordinator.web.api.access_persons import AccessPersons
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, path_id
from coordinator.web.visitors import visitor

DEFAULT_PERIOD = "30d"


class AccessRoutes:
    """Handlers on just-in-time access; a proven person acts for themselves, and sees what concerns them."""

    def __init__(
        self,
        access: AccessService,
        incidents: IncidentService,
        users: UserService,
        clock: Clock,
        scope: AccessScope,
        minted: MintedMachines,
    ) -> None:
        self._access = access
        self._minted = minted
        self._scope = scope
        self._persons = AccessPersons(access, users)
        self._incidents = incidents
        self._users = users
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        base = "/api/v1/access"
        return [
            web.get(f"{base}/whoami", self._whoami),
            web.get(f"{base}/profiles", self._profiles),
            web.get(f"{base}/requests", self._list),
            web.post(f"{base}/requests", self._request),
            web.get(f"{base}/requests/{{request_id}}", self._show),
            web.post(f"{base}/requests/{{request_id}}/approve", self._approve),
            web.post(f"{base}/requests/{{request_id}}/deny", self._deny),
            web.post(f"{base}/requests/{{request_id}}/extend", self._extend),
            web.post(f"{base}/requests/{{request_id}}/revoke", self._revoke),
            web.post(f"{base}/requests/{{request_id}}/review", self._review),
            web.post(f"{base}/requests/{{request_id}}/key", self._key),
            web.post(f"{base}/incidents", self._open_incident),
            web.post(f"{base}/incidents/{{name}}/close", self._close_incident),
            web.get(f"{base}/report", self._report),
        ]

    async def _profiles(self, request: web.Request) -> web.Response:
        profiles = [profile_view(profile) for profile in self._scope.profiles(_person())]
        return web.json_response({"profiles": profiles})

    async def _whoami(self, request: web.Request) -> web.Response:
        """Whom a key, a token or an address stands for; nulls for an administrator."""
        proven = visitor()
        node = None if proven is None else proven.node
        return web.json_response(
            {
                "user": None if proven is None else proven.user.login,
                "node": None if node is None else {"id": str(node.id), "name": node.given_name},
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("state")
        visible = self._scope.visible(self._access.newest_first(), _person())
        found = [self._view(each) for each in visible]
        return web.json_response({"requests": [each for each in found if wanted in (None, each["state"])]})

    async def _show(self, request: web.Request) -> web.Response:
        return self._answer(self._found(path_id(request, "request_id")))

    async def _request(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        asker, mint = self._persons.asker(body), body.flag("mint")
        # A machine that proves who asks is not the machine from outside; one that is named is a mistake.
        node = None if asker.node is None or (mint and not body.has("node")) else asker.node
        duration = body.text("for") or body.text("duration")
        asked = Asked(
            profile=body.text("profile"),
            user=asker.user,
            node_id=None if node is None else node.id,
            duration=_duration("for", duration) if duration else None,
            reason=body.text("reason"),
            ticket=body.text("ticket"),
            break_glass=body.flag("breakGlass"),
            mint=mint,
        )
        made = await self._access.request(asked, actor=acting())
        if mint and self._access.state(made) == "active":
            return self._keyed(*await self._minted.key(made.id, by=asker.user, actor=acting()))
        return self._answer(made)

    async def _key(self, request: web.Request) -> web.Response:
        number, by, _ = await self._decision(request)
        return self._keyed(*await self._minted.key(number, by=by, actor=acting()))

    async def _approve(self, request: web.Request) -> web.Response:
        number, by, _ = await self._decision(request)
        return self._answer(await self._access.approve(number, by=by, actor=acting()))

    async def _deny(self, request: web.Request) -> web.Response:
        number, by, _ = await self._decision(request)
        return self._answer(await self._access.deny(number, by=by, actor=acting()))

    async def _extend(self, request: web.Request) -> web.Response:
        number, by, body = await self._decision(request)
        more = _duration("for", body.text("for") or body.text("duration"))
        return self._answer(await self._access.extend(number, more, by=by, actor=acting()))

    async def _revoke(self, request: web.Request) -> web.Response:
        number, by, _ = await self._decision(request)
        return self._answer(await self._access.revoke(number, by=by, actor=acting()))

    async def _review(self, request: web.Request) -> web.Response:
        number, by, body = await self._decision(request)
        note = body.text("note")
        self._scope.require_reviewer(_person(), self._access.get(number))
        return self._answer(await self._access.review(number, by=by, note=note, actor=acting()))

    async def _decision(self, request: web.Request) -> tuple[int, User | None, Body]:
        body = await Body.read(request)
        found = self._found(path_id(request, "request_id"))
        return found.id, self._persons.decider(body), body

    def _found(self, request_id: int) -> AccessRequest:
        """A request that concerns whoever asks; another does not exist for them."""
        request = self._access.get(request_id)
        if not self._scope.visible([request], _person()):
            raise NotFoundError(f"access request {request_id} does not exist; `access list` shows them")
        return request

    async def _open_incident(self, request: web.Request) -> web.Response:
        self._scope.require_right(_person(), "access:write")
        body = await Body.read(request)
        people = [find_user(self._users, text) for text in body.texts("people")]
        made = await self._incidents.open(
            body.text("name"),
            body.texts("profiles"),
            people,
            _duration("for", body.text("for")),
            commander=self._persons.commander(body, people),
            actor=acting(),
        )
        return web.json_response({"requests": [self._view(each) for each in made]})

    async def _close_incident(self, request: web.Request) -> web.Response:
        self._scope.require_right(_person(), "access:write")
        ended = await self._incidents.close(request.match_info["name"], actor=acting())
        figures = report(ended, self._clock())
        return web.json_response({"requests": [self._view(each) for each in ended], "report": figures})

    async def _report(self, request: web.Request) -> web.Response:
        self._scope.require_right(_person(), "access:read")
        now = self._clock()
        since = now - _duration("since", request.query.get("since", DEFAULT_PERIOD))
        found = [each for each in self._access.newest_first() if each.requested_at >= since]
        return web.json_response({"report": report(found, now)})

    def _keyed(self, request: AccessRequest, key: str) -> web.Response:
        answer = {"request": {**self._view(request), "key": key}}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    def _answer(self, request: AccessRequest) -> web.Response:
        return web.json_response({"request": self._view(request)})

    def _view(self, request: AccessRequest) -> dict[str, Any]:
        user = self._users.login(request.user_id)
        return request_view(request, self._access.state(request), user)


def _person() -> User | None:
    proven = visitor()
    return None if proven is None else proven.user


def request_view(request: AccessRequest, state: str, user: str) -> dict[str, Any]:
    """A request; ids are texts, times RFC 3339 or null."""
    return {
        "id": str(request.id),
        "state": state,
        "end_reason": request.end_reason,
        "profile": request.profile,
        "user": user,
        "node": None if request.node_id is None else str(request.node_id),
        "reason": request.reason,
        "ticket": request.ticket,
        "duration_seconds": int(request.duration.total_seconds()),
        "requested_at": go_time(request.requested_at),
        "answer_by": go_time(request.answer_by),
        "approvals": [{"by": each.by, "at": go_time(each.at)} for each in request.approvals],
        "denied_by": request.denied_by,
        "opens_at": _time(request.opens_at),
        "closes_at": _time(request.closes_at),
        "ended_at": _time(request.ended_at),
        "ended_by": request.ended_by,
        "break_glass": request.break_glass,
        "reviewed_by": request.reviewed_by,
        "incident": request.incident,
        "mint": list(request.mint),
        "key_id": None if request.key_id is None else str(request.key_id),
    }


def profile_view(profile: AccessProfile) -> dict[str, Any]:
    """A profile."""
    return {
        "name": profile.name.text,
        "src": [word.text for word in profile.src],
        "dst": [word.text for word in profile.dst],
        "ssh_users": [word.text for word in profile.ssh_users],
        "via": [word.text for word in profile.via],
        "approvers": [word.text for word in profile.approvers],
        "approvals": profile.approvals if profile.approvals is not None else int(bool(profile.approvers)),
        "default_duration_seconds": int(default_seconds(profile)),
        "max_duration_seconds": int(max_seconds(profile)),
        "reason": profile.reason.text if profile.reason else "",
        "ticket": profile.ticket.text if profile.ticket else "",
        "hours": profile.hours.text if profile.hours else "",
        "max_active": profile.max_active,
        "break_glass": [word.text for word in profile.break_glass],
        "mint": [word.text for word in profile.mint or ()],
        "source": "apply" if profile.declared else "policy",
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else go_time(moment)


def _duration(name: str, text: str) -> timedelta:
    try:
        seconds = duration_seconds(text)
        return timedelta(seconds=seconds)
    except (DurationError, OverflowError):
        raise InvalidError(f"`{name}`: `{text}` is not a duration such as 90m, 4h or 7d") from None
