"""Bring profiles, gateways and peers in line with a declaration, in one step or not at all.

What was declared once and is declared no more goes; what was made by hand stays, unless the file names it:
then the file has it from now on. A dry run is the real thing, undone before it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from acl import Policy
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.services.wireguard_claims import public_key, require_free_key, require_name
from coordinator.services.wireguard_gateways import (
    DEFAULT_PORT,
    GatewayWanted,
    WireGuardGateways,
    base_port,
    pools_from,
    settable,
)
from coordinator.services.wireguard_peer_records import (
    PeerWanted,
    WireGuardCaller,
    ends,
    put_ended,
    record_peer,
)
from coordinator.services.wireguard_peers import WireGuardPeers
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.bearer_tokens import GATEWAY_TOKEN, SECRET_BYTES, new_token
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import CoordinatorError, ForbiddenError, InvalidError
from coordinator.wireguard.declared import Declaration, Item, read_declaration
from coordinator.wireguard.model import Basis, Gateway, Peer, PeerKey, live_peers

Verb = Literal["create", "change", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference; `detail` says in which values."""

    verb: Verb
    kind: Literal["profile", "gateway", "peer"]
    name: str
    detail: str = ""


@dataclass(slots=True)
class Applied:
    """What was, or would be, done. `tokens` of new gateways are shown once; a dry run has none."""

    changes: list[Change] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)


class _DryRunError(CoordinatorError):
    """Ends a dry run: the writer undoes everything."""

    def __init__(self, applied: Applied) -> None:
        super().__init__("a dry run is not stored")
        self.applied = applied


class WireGuardApply:
    """Applies declarations."""

    def __init__(
        self,
        tailnet: Tailnet,
        policy: PolicyService,
        gateways: WireGuardGateways,
        peers: WireGuardPeers,
        users: UserService,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tailnet = tailnet
        self._policy = policy
        self._gateways = gateways
        self._peers = peers
        self._users = users
        self._random_bytes = random_bytes

    async def apply(
        self, text: str, *, dry_run: bool, actor: Actor, may_declare_profiles: bool = True
    ) -> Applied:
        """Apply a file.

        Args:
            text: The file.
            dry_run: Only say what would be done.
            actor: Who does it.
            may_declare_profiles: Whether they may change the policy, too: a profile opens networks.

        Raises:
            PolicyError: it cannot be read, or its profiles do not fit the policy; with every problem and its
                place.
            ForbiddenError: profiles would change, and may not.
            CoordinatorError: it does not fit what is there; the message names the place. Nothing was done.
        """
        declared = read_declaration(text)
        if not may_declare_profiles and self._policy.declared.differ(declared.profiles):
            raise ForbiddenError(
                "the access profiles of this file differ from those declared so far: to change them takes "
                "the right policy:write besides wireguard:write"
            )
        try:
            async with self._policy.declaring(declared.profiles) as policy:
                return await self._execute(declared, policy, dry_run, actor)
        except _DryRunError as over:
            return over.applied

    async def _execute(
        self, declared: Declaration, policy: Policy | None, dry_run: bool, actor: Actor
    ) -> Applied:
        caller = WireGuardCaller(actor=actor, admin=True)

        def command(directory: Directory) -> Applied:
            applied = Applied()
            for each in self._policy.declared.put(directory, declared.profiles, actor):
                detail = ", ".join(each.keys)
                applied.changes.append(Change(verb=each.verb, kind="profile", name=each.name, detail=detail))
            self._apply(directory, declared, policy, applied, caller)
            if dry_run:
                applied.tokens.clear()
                raise _DryRunError(applied)
            return applied

        return await self._tailnet.execute(command)

    def _apply(
        self,
        directory: Directory,
        declared: Declaration,
        policy: Policy | None,
        applied: Applied,
        caller: WireGuardCaller,
    ) -> None:
        records, now = directory.wireguard, self._tailnet.clock()
        # First what goes: its names, keys and addresses are free then.
        names = {item.name for item in declared.peers}
        for peer in live_peers(records.peers()):
            if peer.declared and peer.name not in names:
                put_ended(directory, peer, now, caller.actor, "revoked", "declared no more")
                applied.changes.append(Change(verb="delete", kind="peer", name=peer.name))
        names = {item.name for item in declared.gateways}
        for gateway in list(records.gateways()):
            if gateway.declared and gateway.name not in names:
                self._gateways.put_deleted(directory, gateway.id, False, caller.actor)
                applied.changes.append(Change(verb="delete", kind="gateway", name=gateway.name))
        for item in declared.gateways:
            with _at(item, "gateway"):
                self._gateway(directory, item, applied, caller.actor)
        for item in declared.peers:
            with _at(item, "peer"):
                self._peer(directory, item, policy, applied, caller)

    # gateways

    def _gateway(self, directory: Directory, item: Item, applied: Applied, actor: Actor) -> None:
        wanted = _gateway_wanted(item)
        self._gateways.check(wanted)
        current = directory.wireguard.named("wggateway", wanted.name)
        if not isinstance(current, Gateway):
            text, prefix, digest = new_token(GATEWAY_TOKEN, self._random_bytes(SECRET_BYTES))
            self._gateways.put_new(directory, wanted, prefix, digest, actor)
            applied.tokens[wanted.name] = text
            applied.changes.append(Change(verb="create", kind="gateway", name=wanted.name))
            return
        values = settable(wanted)
        other = [name for name, value in values.items() if getattr(current, name) != value]
        if base_port(current) != wanted.listen_port:
            other.append("listen_port")
        if other:
            self._gateways.put_changed(directory, current, wanted, actor)
            change = Change(verb="change", kind="gateway", name=wanted.name, detail=", ".join(other))
            applied.changes.append(change)

    # peers

    def _peer(
        self,
        directory: Directory,
        item: Item,
        policy: Policy | None,
        applied: Applied,
        caller: WireGuardCaller,
    ) -> None:
        wanted = self._peer_wanted(item)
        basis: Basis = "standing" if wanted.standing or wanted.until is not None else "profile"
        _require_complete(wanted, basis)
        self._peers.require_profile(wanted, policy)
        current = directory.wireguard.named("wgpeer", wanted.name)
        if isinstance(current, Peer):
            moved = self._moved(directory, current, wanted)
            if not moved:
                self._change(directory, current, wanted, basis, applied, caller)
                return
            now = self._tailnet.clock()
            put_ended(directory, current, now, caller.actor, "revoked", f"another {moved}")
            self._peers.put_new(directory, wanted, basis, caller)
            change = Change(verb="change", kind="peer", name=wanted.name, detail=f"{moved} (made anew)")
            applied.changes.append(change)
            return
        self._peers.put_new(directory, wanted, basis, caller)
        applied.changes.append(Change(verb="create", kind="peer", name=wanted.name))

    def _change(
        self,
        directory: Directory,
        current: Peer,
        wanted: PeerWanted,
        basis: Basis,
        applied: Applied,
        caller: WireGuardCaller,
    ) -> None:
        now = self._tailnet.clock()
        values: dict[str, Any] = {
            "user_id": wanted.user_id,
            "service": wanted.service,
            "profile": wanted.profile,
            "basis": basis,
            "reason": wanted.reason,
            "keepalive": wanted.keepalive,
            "declared": True,
        }
        if current.until != wanted.until:
            values["until"] = ends(wanted, now)
        other = [name for name, value in values.items() if getattr(current, name) != value]
        changed = replace(current, **values)
        if current.newest_key().public_key != wanted.public_key:
            require_free_key(directory, wanted.public_key)
            secret = self._peers.new_secret() if wanted.preshared else ""
            key = PeerKey(
                public_key=wanted.public_key,
                since=now,
                preshared_key=secret,
                preshared_since=now if secret else None,
            )
            changed = replace(changed, keys=(key,))
            other.append("publicKey")
        elif current.newest_key().preshared != wanted.preshared:
            secret = self._peers.new_secret() if wanted.preshared else ""
            key = current.newest_key().with_preshared(secret, now)
            changed = replace(changed, keys=(*current.keys[:-1], key))
            other.append("presharedKey")
        if not other:
            return
        record_peer(directory, now, caller.actor, "wgpeer.change", changed, before=current)
        directory.put_wireguard(changed)
        change = Change(verb="change", kind="peer", name=wanted.name, detail=", ".join(other))
        applied.changes.append(change)

    def _moved(self, directory: Directory, current: Peer, wanted: PeerWanted) -> str:
        """What cannot be changed in place."""
        gateway = directory.wireguard.named("wggateway", wanted.gateway)
        if not isinstance(gateway, Gateway):
            raise InvalidError(f"there is no gateway `{wanted.gateway}`")
        if gateway.id != current.gateway_id:
            return "gateway"
        if wanted.addresses and set(wanted.addresses) != set(current.addresses):
            return "addresses"
        return "team" if wanted.team not in (None, current.team) else ""

    def _peer_wanted(self, item: Item) -> PeerWanted:
        fields = item.fields
        user = fields.get("user")
        return PeerWanted(
            public_key=public_key(fields["publicKey"]),
            name=require_name(item.name),
            gateway=fields["gateway"],
            user_id=None if user is None else self._users.find(user).id,
            service=fields.get("service", ""),
            profile=fields.get("profile", ""),
            team=fields.get("team"),
            standing=fields.get("permanent", False),
            until=fields.get("until"),
            reason=fields.get("reason", ""),
            addresses=fields.get("addresses", ()),
            keepalive=fields.get("keepalive"),
            preshared=fields.get("presharedKey", False),
            declared=True,
        )


def _gateway_wanted(item: Item) -> GatewayWanted:
    fields = item.fields
    pools = {"": list(fields["pools"])} if fields.get("pools") else {}
    return GatewayWanted(
        name=item.name,
        host=fields["host"],
        pools=pools_from(pools | fields.get("teamPools", {})),
        listen_port=fields.get("listenPort", DEFAULT_PORT),
        mtu=fields.get("mtu", 1420),
        dns=fields.get("dns", ()),
        keepalive=fields.get("keepalive", 25),
        masquerade=fields.get("masquerade", True),
        tailnet=fields.get("tailnet", False),
        profiles=fields.get("profiles", ()),
        rotate_days=fields.get("rotateDays", 0),
        declared=True,
    )


def _require_complete(wanted: PeerWanted, basis: Basis) -> None:
    if (wanted.user_id is None) == (not wanted.service):
        raise InvalidError("say whose device it is: a `user` or a `service`, not both")
    if basis == "standing" and not wanted.reason.strip():
        raise InvalidError("`permanent` and `until` need a `reason`")
    if basis == "profile" and (wanted.user_id is None or not wanted.profile):
        raise InvalidError("without `permanent` or `until` a peer needs a `user` and a `profile`")


@contextmanager
def _at(item: Item, kind: str) -> Iterator[None]:
    """What is wrong with an item is said with its place."""
    try:
        yield
    except CoordinatorError as error:
        message = f"{item.span}: {kind} `{item.name}`: {error.message}"
        raise type(error)(message) from error
