"""/api/v1/inventory, a path of our own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aiohttp import web

from coordinator.services.inventory import UNSEEN, Found, InventoryService
from coordinator.settings.durations import parse_duration
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.inventory import FINDINGS
from coordinator.tailnet.inventory_csv import inventory_csv

_PARAMETERS = frozenset(("unseen", "olderThan", "format"))


class InventoryRoutes:
    """Handlers on the inventory; it is only ever read."""

    def __init__(self, inventory: InventoryService) -> None:
        self._inventory = inventory

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/inventory", self._list),
            web.get("/api/v1/inventory/report", self._report),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        unseen, older_than = read_ages(request)
        keys = [found_view(each) for each in self._inventory.all_keys(unseen=unseen, older_than=older_than)]
        return _answer(request, keys, {"keys": keys})

    async def _report(self, request: web.Request) -> web.Response:
        unseen, older_than = read_ages(request)
        report = self._inventory.report(unseen=unseen, older_than=older_than)
        keys = [found_view(each) for each in report.found]
        age = report.rules.rotation_age
        document = {
            "at": go_time(report.at),
            "rotationAgeDays": None if age is None else _days(age),
            "unseenDays": _days(report.rules.unseen),
            "total": report.keys,
            "findings": [
                {"finding": finding, "meaning": meaning, "count": report.counts[finding]}
                for finding, meaning in FINDINGS.items()
            ],
            "keys": keys,
        }
        return _answer(request, keys, document)


def found_view(found: Found) -> dict[str, Any]:
    """A key and what there is to say of it, in the shape of API v1."""
    row = found.row
    return {
        "kind": row.kind,
        "id": row.id,
        "name": row.name,
        "key": row.key,
        "ownerKind": row.owner_kind,
        "owner": row.owner,
        "reason": row.reason,
        "access": list(row.access),
        "addresses": list(row.addresses),
        "state": row.state,
        "online": row.online,
        "since": go_time(row.since),
        "keySince": go_time(row.key_since),
        "keySinceExact": row.key_since_exact,
        "keyAgeDays": _days(found.age),
        "rotationAsked": None if row.rotation_asked is None else go_time(row.rotation_asked),
        "until": None if row.until is None else go_time(row.until),
        "lastSeen": None if row.last_seen is None else go_time(row.last_seen),
        "findings": list(found.findings),
    }


def read_ages(request: web.Request) -> tuple[timedelta, timedelta | None]:
    """How long is too long unseen, and the rotation age; InvalidError names the parameter that is wrong."""
    for name in request.query:
        if name not in _PARAMETERS:
            raise InvalidError(f"unknown parameter `{name[:40]}`: use {', '.join(sorted(_PARAMETERS))}")
    return _age(request, "unseen") or UNSEEN, _age(request, "olderThan")


def _age(request: web.Request, name: str) -> timedelta | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        age = parse_duration(text)
    except ValueError as error:
        raise InvalidError(f"`{name}`: {error}") from error
    if not age:
        raise InvalidError(f"`{name}`: has to be positive, such as 30d")
    return age


def _answer(request: web.Request, keys: list[dict[str, Any]], document: dict[str, Any]) -> web.Response:
    match request.query.get("format") or "json":
        case "json":
            return web.json_response(document)
        case "csv":
            headers = {"Content-Disposition": 'attachment; filename="inventory.csv"'}
            return web.Response(text=inventory_csv(keys), content_type="text/csv", headers=headers)
        case other:
            raise InvalidError(f"unknown format `{other[:40]}`: use json or csv")


def _days(age: timedelta) -> float:
    return round(age / timedelta(days=1), 1)
