"""Registration as a table: what a RegisterRequest means, given what is known.

Rows are tried from the top; the first whose condition holds decides. Deciding changes nothing: the effects
are carried out by `services.registration`, under the writer. Sources: tailscale
control/controlclient/direct.go for what clients send, and observed behaviour of clients 1.80.3 and 1.102.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from coordinator.tailcfg.keys import MachineKey, NodeKey
from coordinator.tailnet.nodes import REJECTED, Node
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.rotation import awaited
from coordinator.tailnet.users import UserID

REJECTED_DEVICE = "an administrator of this tailnet rejected this device; ask them, then log in anew"
WIREGUARD_KEY = (
    "this node key, or this machine's key, is that of a plain WireGuard peer or gateway, and a key has one "
    "use; log out and in again to make a new one"
)
UNUSABLE_NODE_KEY = "this node key cannot be used; log out and in again to make a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One RegisterRequest with the facts it is judged by.

    `wish` is the client's Expiry (None: no wish). `key` is the presented pre-auth key after its secret was
    checked; `key_problem` is set instead when it is unknown or malformed. `tags_refused` are the requested
    tags that neither the key nor the policy allows.
    """

    now: datetime
    machine_key: MachineKey
    node_key: NodeKey
    wish: datetime | None = None
    key: PreAuthKey | None = None
    key_problem: str | None = None
    suspension: str | None = None
    """Why the key's user cannot let anything in at present; None when there is no such reason."""
    ephemeral: bool = False
    request_tags: tuple[str, ...] = ()
    tags_refused: tuple[str, ...] = ()
    node: Node | None = None
    """The node that holds the NodeKey."""
    key_taken: bool = False
    """Another machine holds the NodeKey; set by `decide`."""
    plain_wireguard: bool = False
    """Plain WireGuard uses the NodeKey or the MachineKey."""
    previous: Node | None = None
    """The node that holds the OldNodeKey."""
    old_node_key: NodeKey | None = None
    siblings: Sequence[Node] = field(default=())
    """All nodes of this machine."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Nothing changes; say who the node is."""

    node: Node


@dataclass(frozen=True, slots=True)
class Shorten:
    """The client asked for an earlier expiry than it has."""

    node: Node
    expiry: datetime


@dataclass(frozen=True, slots=True)
class Logout:
    """The node leaves; None when it was not known anyway."""

    node: Node | None


@dataclass(frozen=True, slots=True)
class RenewKey:
    """The NodeKey is past its expiry: the client has to make a new one and come again."""

    node: Node


@dataclass(frozen=True, slots=True)
class Login:
    """A person has to approve this machine."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, with a sentence the user can act on."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Admit the machine: as a new node, or as a `former` one that gets the new NodeKey.

    `renewal`: an awaited new key of the `former` node, and nothing else.
    """

    user_id: UserID | None
    tags: tuple[str, ...]
    ephemeral: bool
    key: PreAuthKey | None
    former: Node | None
    renewal: bool = False


Outcome = Confirm | Shorten | Logout | RenewKey | Login | Refuse | Join


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    when: Callable[[Attempt], bool]
    then: Callable[[Attempt], Outcome]


def key_refusal(key: PreAuthKey, now: datetime) -> str | None:
    """Why a genuine key no longer admits a machine, or None when it does."""
    if key.revoked:
        return f"auth key {key.masked} has been revoked; ask an administrator for a new one"
    if key.expiration is not None and key.expiration <= now:
        return f"auth key {key.masked} has expired; ask an administrator for a new one"
    if key.max_uses is not None and key.uses >= key.max_uses:
        return (
            f"auth key {key.masked} has admitted as many machines as it may ({key.max_uses});"
            " ask an administrator for a new one"
        )
    if key.used and not key.reusable:
        return f"auth key {key.masked} is a one-time key and already used; ask an administrator for a new one"
    return None


def granted_tags(attempt: Attempt) -> tuple[str, ...]:
    """Tags of the node that results: the key's own and the permitted requested ones."""
    key_tags = attempt.key.tags if attempt.key else ()
    return tuple(sorted({*key_tags, *attempt.request_tags}))


def former_node(attempt: Attempt, user_id: UserID | None, tags: tuple[str, ...]) -> Node | None:
    """The node a re-authentication continues: same machine, and same owner before and after.

    The OldNodeKey names it best; after a logout clients send none, then the machine's newest node of that
    owner is meant.
    """
    candidates = [attempt.previous] if attempt.previous is not None else []
    candidates += reversed(attempt.siblings)
    for node in candidates:
        if node.machine_key != attempt.machine_key:
            continue
        if node.tags and tags:
            return node
        if not node.tags and node.user_id is not None and node.user_id == user_id:
            return node
    return None


def _logout(attempt: Attempt) -> Outcome:
    # A rejection stays on record until an administrator deletes the node, or the sweeper an ephemeral one.
    rejected = attempt.node is not None and attempt.node.approval == REJECTED
    return Logout(None if rejected else attempt.node)


def _confirm_or_shorten(attempt: Attempt) -> Outcome:
    node = attempt.node
    assert node is not None
    if attempt.wish is not None and (node.expiry is None or attempt.wish < node.expiry):
        return Shorten(node, attempt.wish)
    return Confirm(node)


def _renew(attempt: Attempt) -> Outcome:
    assert attempt.node is not None
    return RenewKey(attempt.node)


def _join_with_key(attempt: Attempt) -> Outcome:
    key = attempt.key
    assert key is not None
    refusal = key_refusal(key, attempt.now)
    if refusal is not None:
        return Refuse(refusal)
    tags = granted_tags(attempt)
    if not tags and key.user_id is None:
        return Refuse(f"auth key {key.masked} has neither user nor tags; ask an administrator for a new one")
    if attempt.key_taken:
        return Refuse(UNUSABLE_NODE_KEY)
    if attempt.plain_wireguard:
        return Refuse(WIREGUARD_KEY)
    return Join(
        user_id=None if tags else key.user_id,
        tags=tags,
        ephemeral=key.ephemeral or attempt.ephemeral,
        key=key,
        former=former_node(attempt, key.user_id, tags),
    )


def _returns_with_replaced_key(attempt: Attempt) -> Node | None:
    return awaited(attempt.node_key, attempt.siblings, attempt.now) if attempt.node is None else None


def _renewal(attempt: Attempt) -> Node | None:
    """The node whose awaited new key this is. A good auth key goes before: it may give the machine away."""
    if attempt.node is not None or attempt.key_taken:
        return None
    if attempt.key is not None and key_refusal(attempt.key, attempt.now) is None:
        return None
    return awaited(attempt.old_node_key, attempt.siblings, attempt.now)


def _renew_replaced(attempt: Attempt) -> Outcome:
    node = _returns_with_replaced_key(attempt)
    assert node is not None
    return RenewKey(node)


def _join_renewed(attempt: Attempt) -> Outcome:
    former = _renewal(attempt)
    assert former is not None
    if attempt.plain_wireguard:
        return Refuse(WIREGUARD_KEY)
    return Join(
        user_id=former.user_id,
        tags=former.tags,
        ephemeral=former.ephemeral,
        key=None,
        former=former,
        renewal=True,
    )


TABLE: tuple[Row, ...] = (
    Row("logout", lambda a: a.wish is not None and a.wish <= a.now, _logout),
    Row(
        "rejected device",
        lambda a: a.node is not None and a.node.approval == REJECTED,
        lambda a: Refuse(REJECTED_DEVICE),
    ),
    Row(
        "expired node comes back",
        lambda a: a.node is not None and a.node.expired(a.now),
        _renew,
    ),
    Row(
        "a new key is awaited",
        lambda a: a.node is not None and awaited(a.node_key, (a.node,), a.now) is not None,
        _renew,
    ),
    Row(
        "replaced key comes back, its client has not heard",
        lambda a: _returns_with_replaced_key(a) is not None,
        _renew_replaced,
    ),
    Row("awaited new key", lambda a: _renewal(a) is not None, _join_renewed),
    # The client repeats its auth key at every start for as long as it is configured, so a used or expired
    # key does not matter for a node that is already in.
    Row("restart of a known node", lambda a: a.node is not None, _confirm_or_shorten),
    Row(
        "unknown or malformed auth key",
        lambda a: a.key_problem is not None,
        lambda a: Refuse(a.key_problem or ""),
    ),
    Row(
        "auth key of a suspended user",
        lambda a: a.key is not None and a.suspension is not None,
        lambda a: Refuse(a.suspension or ""),
    ),
    Row(
        "tags nobody allowed",
        lambda a: a.key is not None and bool(a.tags_refused),
        lambda a: Refuse(f"requested tags [{' '.join(a.tags_refused)}] are invalid or not permitted"),
    ),
    Row("auth key", lambda a: a.key is not None, _join_with_key),
    Row("anything else needs a person", lambda a: True, lambda a: Login()),
)


def decide(attempt: Attempt) -> Outcome:
    """What the request means; pure, so it may be asked again with newer facts.

    A NodeKey another machine holds is treated as one nobody holds: whoever does not prove the MachineKey
    learns nothing of the node. Only a valid auth key gets to the refusal that keeps the key from being
    held twice. It is the same with a key of plain WireGuard, for auth keys and awaited new keys; whoever has
    neither is sent to a person, and refused when that one approves.
    """
    if attempt.node is not None and attempt.node.machine_key != attempt.machine_key:
        attempt = replace(attempt, node=None, key_taken=True)
    for row in TABLE:
        if row.when(attempt):
            return row.then(attempt)
    raise AssertionError("the last row of the table always matches")
