"""The inventory of keys: what all sources know, and what should be done about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.services.access import AccessService
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.inventory import (
    FINDINGS,
    Finding,
    InventoryRow,
    InventorySource,
    KeyState,
    OwnerKind,
    ReportRules,
    findings,
    in_order,
)
from coordinator.tailnet.nodes import PENDING, REGISTERED_BY_AUTH_KEY, REGISTERED_BY_OIDC, REJECTED, Node
from coordinator.tailnet.users import UserID

UNSEEN = timedelta(days=30)
"""How long is too long unseen, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A key, and what there is to say of it."""

    row: InventoryRow
    age: timedelta
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What should be looked at. `counts` has every finding, also those that nothing has."""

    at: datetime
    rules: ReportRules
    keys: int
    counts: Mapping[Finding, int]
    found: Sequence[Found]


class InventoryService:
    """Questions about all keys.

    Args:
        tailnet: Whose clock it is.
        sources: Who knows keys; more may be added.
        rotation_age: From which age on a key has to be replaced; zero for none.
    """

    def __init__(self, tailnet: Tailnet, sources: Iterable[InventorySource], rotation_age: timedelta) -> None:
        self._tailnet = tailnet
        self._sources = list(sources)
        self.rotation_age = rotation_age or None

    def add(self, source: InventorySource) -> None:
        """One more kind of keys."""
        self._sources.append(source)

    def all_keys(self, *, unseen: timedelta = UNSEEN, older_than: timedelta | None = None) -> list[Found]:
        """All keys, by kind and id.

        Raises:
            InvalidError: a length of time is not positive.
        """
        return self._look(self._tailnet.clock(), self._rules(unseen, older_than))

    def report(self, *, unseen: timedelta = UNSEEN, older_than: timedelta | None = None) -> Report:
        """The keys that should be looked at, the most urgent first.

        Args:
            unseen: How long is too long.
            older_than: The rotation age, instead of the configured one.

        Raises:
            InvalidError: a length of time is not positive.
        """
        now, rules = self._tailnet.clock(), self._rules(unseen, older_than)
        all_ = self._look(now, rules)
        found = [each for each in all_ if each.findings]
        urgency = {finding: place for place, finding in enumerate(FINDINGS)}
        found.sort(key=lambda each: urgency[each.findings[0]])
        counts = {finding: sum(finding in each.findings for each in found) for finding in FINDINGS}
        return Report(at=now, rules=rules, keys=len(all_), counts=counts, found=found)

    def _rules(self, unseen: timedelta, older_than: timedelta | None) -> ReportRules:
        if unseen <= timedelta() or (older_than is not None and older_than <= timedelta()):
            raise InvalidError("an age has to be positive, such as 30d")
        return ReportRules(rotation_age=older_than or self.rotation_age, unseen=unseen)

    def _look(self, now: datetime, rules: ReportRules) -> list[Found]:
        rows = in_order(row for source in self._sources for row in source.inventory(now))
        return [Found(row=row, age=row.age(now), findings=findings(row, now, rules)) for row in rows]


class NodeInventory:
    """The node keys of the tailnet."""

    def __init__(self, tailnet: Tailnet, access: AccessService) -> None:
        self._tailnet = tailnet
        self._access = access

    def inventory(self, now: datetime) -> list[InventoryRow]:
        """One row a node."""
        of_node: dict[int, list[str]] = defaultdict(list)
        of_user: dict[UserID, list[str]] = defaultdict(list)
        for request in self._access.requests.values():
            if self._access.state(request) not in ("approved", "active"):
                continue
            if request.node_id is None:
                of_user[request.user_id].append(_access_text(request))
            else:
                of_node[request.node_id].append(_access_text(request))
        rows = []
        for node in self._tailnet.snapshot.nodes():
            own = of_user[node.user_id] if node.user_id is not None and not node.tags else []
            rows.append(self._row(node, tuple(sorted([*of_node[node.id], *own])), now))
        return rows

    def _row(self, node: Node, access: tuple[str, ...], now: datetime) -> InventoryRow:
        owner_kind, owner = self._owner(node)
        return InventoryRow(
            kind="tailnet",
            id=str(node.id),
            name=node.given_name,
            key=node.node_key,
            owner_kind=owner_kind,
            owner=owner,
            reason=self._reason(node),
            access=access,
            addresses=tuple(str(address) for address in node.addresses),
            state=_state(node, now),
            online=node.online and not node.expired(now),
            since=node.created_at,
            key_since=node.key_since or node.created_at,
            key_since_exact=node.key_since is not None,
            rotation_asked=node.rotation_asked,
            until=node.expiry,
            last_seen=node.last_seen,
        )

    def _owner(self, node: Node) -> tuple[OwnerKind, str]:
        if node.tags:
            return "service", ",".join(node.tags)
        user = None if node.user_id is None else self._tailnet.snapshot.users.get(node.user_id)
        return ("nobody", "") if user is None else ("person", user.login)

    def _reason(self, node: Node) -> str:
        if node.auth_key_id is not None:
            key = self._tailnet.snapshot.preauth_keys.get(node.auth_key_id)
            if key is None:
                return f"auth key {node.auth_key_id}, deleted since"
            tags = f" ({','.join(key.tags)})" if key.tags else ""
            return f"auth key {key.id}{tags}" + (f": {key.description}" if key.description else "")
        if node.register_method == REGISTERED_BY_OIDC:
            return "the user's own login"
        if node.register_method == REGISTERED_BY_AUTH_KEY:
            return "an auth key"
        return "let in by an administrator"


def _state(node: Node, now: datetime) -> KeyState:
    if node.approval == REJECTED:
        return "rejected"
    if node.expired(now):
        return "ended"
    return "waiting" if node.approval == PENDING else "valid"


def _access_text(request: AccessRequest) -> str:
    """An open request: its profile, its id and ticket, and what was said."""
    ticket = f", {request.ticket}" if request.ticket else ""
    return f"{request.profile} (request {request.id}{ticket})" + (
        f": {request.reason}" if request.reason else ""
    )
