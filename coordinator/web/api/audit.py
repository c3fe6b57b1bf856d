"""/api/v1/audit, a path of our own."""

from __future__ import annotations

import re

from aiohttp import web

from coordinator.audit.entry import Cursor
from coordinator.audit.query import AuditQuery
from coordinator.audit.view import entry_view
from coordinator.services.audit import AuditService
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.body import parse_id, parse_moment

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_PARAMETERS = frozenset(("since", "until", "actor", "action", "object", "before", "after", "limit"))


class AuditRoutes:
    """Handlers on the audit log; it is only ever read."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/audit", self._list),
            web.get("/api/v1/audit/verify", self._verify),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        entries = await self._audit.list(read_query(request))
        return web.json_response({"entries": [entry_view(entry) for entry in entries]})

    async def _verify(self, request: web.Request) -> web.Response:
        anchors = [read_anchor(text) for text in request.query.getall("anchor", [])]
        result = await self._audit.verify(anchors)
        head = result.head
        return web.json_response(
            {
                "intact": result.wrong == 0,
                "entries": str(result.entries),
                "lastId": str(head.last_id) if head else "",
                "lastHash": head.last_hash if head else "",
                "wrong": str(result.wrong),
                "findings": [
                    {"kind": finding.kind, "id": str(finding.id), "text": finding.text}
                    for finding in result.findings
                ],
            }
        )


def read_query(request: web.Request) -> AuditQuery:
    """What a request asks for; InvalidError names the parameter that is wrong."""
    given = {name: value for name, value in request.query.items() if value}
    for name in given:
        if name not in _PARAMETERS:
            raise InvalidError(f"unknown parameter `{name[:40]}`: use {', '.join(sorted(_PARAMETERS))}")
        if "\0" in given[name]:
            raise InvalidError(f"`{name}` holds a character that no entry has")
    limit = parse_id("limit", given["limit"]) if "limit" in given else DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidError(f"`limit`: between 1 and {MAX_LIMIT}, not {limit}")
    return AuditQuery(
        since=parse_moment("since", given["since"]) if "since" in given else None,
        until=parse_moment("until", given["until"]) if "until" in given else None,
        actor=given.get("actor", ""),
        action=given.get("action", ""),
        object=given.get("object", ""),
        before=parse_id("before", given["before"]) if "before" in given else None,
        after=parse_id("after", given["after"]) if "after" in given else None,
        limit=limit,
    )


def read_anchor(text: str) -> Cursor:
    """An entry somebody knows from elsewhere, as `id:hash`."""
    found = _ANCHOR.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidError(
            f"`{text[:80]}` is not an anchor: write the id and the hash of an entry, `7:9f3c…`"
        )
    return Cursor(f"anchor {found[1]}", int(found[1]), found[2])
