"""Carries out what the registration table decides.

Deciding is repeated inside the writer, where nothing can change any more; a request that changes nothing is
answered from the snapshot and costs no transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from coordinator.services.address_allocation import AddressAllocation, RandomOffset
from coordinator.services.login import PendingLogins
from coordinator.services.rate_limits import RateLimits
from coordinator.services.registration_records import RefusalRecorder, record_client, record_join
from coordinator.services.rest_at_start import Departure
from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_claims import plain_wireguard_has
from coordinator.tailcfg.codec import parse_go_time
from coordinator.tailcfg.errors import WireError
from coordinator.tailcfg.hostinfo import hostname, request_tags
from coordinator.tailcfg.keys import (
    MachineKey,
    NetworkLockKey,
    NodeKey,
    is_zero,
    parse_network_lock_key,
    parse_node_key,
)
from coordinator.tailcfg.register import NOBODY, RegisterRequest, RegisterResponse
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.address_rest import AddressRest
from coordinator.tailnet.addresses import Prefixes
from coordinator.tailnet.device_approval import ApprovalRule
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, CoordinatorError, UnauthenticatedError
from coordinator.tailnet.names import label_from_hostname, unique_label
from coordinator.tailnet.nodes import APPROVED, REGISTERED_BY_AUTH_KEY, REGISTERED_BY_CLI, Node, NodeID
from coordinator.tailnet.preauth_keys import MALFORMED_KEY, PreAuthKey, matches, split_key
from coordinator.tailnet.registration import (
    WIREGUARD_KEY,
    Attempt,
    Confirm,
    Join,
    Login,
    Logout,
    Outcome,
    Refuse,
    RenewKey,
    Shorten,
    decide,
)
from coordinator.tailnet.rotation import renewed
from coordinator.tailnet.users import (
    TAGGED_DEVICES_LOGIN,
    TAGGED_DEVICES_USER_ID,
    UserID,
    require_active,
    suspension_notice,
)
from coordinator.telemetry.metrics import METRICS

log = structlog.get_logger(__name__)

UNKNOWN_KEY = "the auth key is not known to this server; copy the whole text, or ask for a new one"
REFUSED_BY_PERSON = "an administrator of this tailnet refused this machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """What the configuration says about new nodes.

    `key_lifetime` None: keys of untagged nodes never expire. `address_rest`: how long addresses of ephemeral
    nodes are not given again.
    """

    prefixes: Prefixes
    key_lifetime: timedelta | None = None
    approval: ApprovalRule = field(default_factory=ApprovalRule)
    address_rest: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """A RegisterRequest after its texts were checked."""

    machine_key: MachineKey
    node_key: NodeKey
    old_node_key: NodeKey | None
    network_lock_key: NetworkLockKey | None
    wish: datetime | None
    auth_key: str
    request: RegisterRequest


class RegistrationService:
    """Answers RegisterRequests."""

    def __init__(
        self,
        tailnet: Tailnet,
        logins: PendingLogins,
        settings: RegistrationSettings,
        random_offset: RandomOffset,
        limits: RateLimits | None = None,
        resting: Iterable[Departure] = (),
    ) -> None:
        self._tailnet = tailnet
        self._logins = logins
        self._settings = settings
        self._refusals = RefusalRecorder(tailnet)
        self._limits = limits
        rest = AddressRest(settings.address_rest)
        for at, addresses in resting:
            rest.release(addresses, at)
        self._addresses = AddressAllocation(tailnet, settings.prefixes, rest, random_offset)

    async def register(
        self, machine_key: MachineKey, request: RegisterRequest, *, remote: str = ""
    ) -> RegisterResponse:
        """Decide, make it durable, answer.

        Args:
            machine_key: Proven by the Noise session.
            request: As decoded.
            remote: The client's address, for the limits on failures.

        Returns:
            The response, also for refusals (in `error`).

        Raises:
            WireError: a key or a time in it is malformed.
            UnavailableError: try again later; the client does so by itself.
            RateLimitedError: this client, or its address, failed too often.
        """
        parsed = _parse(machine_key, request)
        if request.followup and not (parsed.wish and parsed.wish <= self._tailnet.clock()):
            admitted = await self._logins.wait(request.followup, machine_key, parsed.node_key)
            if not admitted:
                return self._answer(parsed, Refuse(REFUSED_BY_PERSON))
        outcome = self._decide_from_snapshot(parsed)
        if self._limits is not None and (outcome is None or isinstance(outcome, Login)):
            # Whoever is in already is never asked; others only while they keep failing.
            self._limits.check("register", remote, machine_key)
        if outcome is None:
            outcome = await self._tailnet.execute(lambda directory: self._carry_out(parsed, directory))
        if isinstance(outcome, Refuse):
            await self._refusals.record(parsed.machine_key, parsed.request, outcome.message)
        self._seen(outcome)
        self._count_failure(outcome, remote, machine_key)
        METRICS.registrations.labels(outcome=type(outcome).__name__.lower()).inc()
        return self._answer(parsed, outcome)

    async def approve(
        self,
        login_id: str,
        user_id: UserID,
        *,
        actor: Actor,
        method: str = REGISTERED_BY_CLI,
        expiry: datetime | None = None,
    ) -> Node:
        """A person approved a pending login: admit the machine for a user.

        Args:
            login_id: Of the pending login.
            user_id: Whose node it becomes.
            actor: Who approved.
            method: How; an administrator's command, or the user's own login.
            expiry: When the node's key expires; None: as the client wishes and the configuration allows.

        Raises:
            NotFoundError: no such pending login (they last 15 minutes), or no such user.
            ForbiddenError: the user is suspended.
            ConflictError: the machine joined meanwhile, for somebody else; or plain WireGuard has its key.
        """
        pending = self._logins.get(login_id)
        parsed = _parse(pending.machine_key, pending.request)

        def command(directory: Directory) -> Node:
            directory.user(user_id)
            attempt = self._attempt(parsed, directory)
            if attempt.node is not None:
                return _already_in(attempt.node, attempt.machine_key, user_id)
            if attempt.plain_wireguard:
                raise ConflictError(WIREGUARD_KEY)
            siblings = [node for node in attempt.siblings if node.user_id == user_id and not node.tags]
            join = Join(
                user_id=user_id,
                tags=(),
                ephemeral=parsed.request.ephemeral,
                key=None,
                former=siblings[-1] if siblings else None,
            )
            # An administrator who lets a machine in has looked at it; a user who logs in has not that say.
            admitted = actor.kind in ("socket", "api_key")
            node = self._join(parsed, join, directory, admitted=admitted, method=method, until=expiry)
            record_join(directory, self._tailnet.clock(), actor, join, node, "node.approve")
            return node

        node = await self._tailnet.execute(command)
        self._logins.approved(login_id)
        return node

    async def reject(self, login_id: str, *, actor: Actor) -> None:
        """A person refused a pending login; the machine is told.

        Raises:
            NotFoundError: no such pending login.
        """
        pending = self._logins.get(login_id)
        details = {"hostname": hostname(pending.request.hostinfo or {}), "machine_key": pending.machine_key}

        def record(directory: Directory) -> None:
            directory.audit(self._tailnet.clock(), actor, "node.reject", f"login:{login_id}", details)

        await self._tailnet.execute(record)
        self._logins.refuse(login_id)

    # deciding

    def _decide_from_snapshot(self, parsed: _Parsed) -> Outcome | None:
        """What needs no transaction: nodes that are in, and machines without a key. None for the rest."""
        record = self._tailnet.snapshot.record_by_key(parsed.node_key)
        foreign = record is not None and record.node.machine_key != parsed.machine_key
        if (record is None or foreign) and parsed.auth_key:
            return None
        outcome = decide(
            Attempt(
                now=self._tailnet.clock(),
                machine_key=parsed.machine_key,
                node_key=parsed.node_key,
                wish=parsed.wish,
                node=record.node if record else None,
                old_node_key=parsed.old_node_key,
                siblings=self._rotating(parsed.machine_key) if record is None else (),
            )
        )
        changes = isinstance(outcome, Shorten | Join) or (
            isinstance(outcome, Logout) and outcome.node is not None
        )
        return None if changes else outcome

    def _rotating(self, machine_key: MachineKey) -> list[Node]:
        """The nodes of this machine whose new key is awaited, or just came."""
        nodes = (record.node for record in self._tailnet.snapshot.records.values())
        return [node for node in nodes if node.rotation is not None and node.machine_key == machine_key]

    def _attempt(self, parsed: _Parsed, directory: Directory) -> Attempt:
        tags = request_tags(parsed.request.hostinfo or {})
        key, problem = self._find_key(parsed.auth_key, directory)
        return Attempt(
            now=self._tailnet.clock(),
            machine_key=parsed.machine_key,
            node_key=parsed.node_key,
            wish=parsed.wish,
            key=key,
            key_problem=problem,
            suspension=_suspension(key, directory),
            ephemeral=parsed.request.ephemeral,
            request_tags=tags,
            tags_refused=self._refused_tags(tags, key),
            node=directory.node_by_key(parsed.node_key),
            previous=directory.node_by_key(parsed.old_node_key) if parsed.old_node_key else None,
            old_node_key=parsed.old_node_key,
            plain_wireguard=plain_wireguard_has(directory, parsed.node_key, parsed.machine_key),
            siblings=directory.nodes_of_machine(parsed.machine_key),
        )

    def _find_key(self, text: str, directory: Directory) -> tuple[PreAuthKey | None, str | None]:
        if not text:
            return None, None
        try:
            prefix, secret = split_key(text)
        except UnauthenticatedError as error:
            return None, error.message
        key = directory.preauth_key_by_prefix(prefix)
        if not matches(key, secret):
            return None, UNKNOWN_KEY
        return key, None

    def _refused_tags(self, tags: tuple[str, ...], key: PreAuthKey | None) -> tuple[str, ...]:
        if key is None:
            return ()
        policy = self._tailnet.world.policy
        return tuple(
            tag for tag in tags if tag not in key.tags and not policy.tag_allowed(tag, key.user_id, key.tags)
        )

    def _seen(self, outcome: Outcome) -> None:
        """An ephemeral node's absence counts from here, so that it is not removed before its first map."""
        if isinstance(outcome, Confirm) and outcome.node.ephemeral:
            self._tailnet.update_volatile(outcome.node.id, last_seen=self._tailnet.clock())

    def _count_failure(self, outcome: Outcome, remote: str, machine_key: MachineKey) -> None:
        if self._limits is None:
            return
        if isinstance(outcome, Login):
            self._limits.failed(remote, machine_key)
        elif isinstance(outcome, Refuse):
            guessed = outcome.message in (UNKNOWN_KEY, MALFORMED_KEY)
            self._limits.failed(remote if guessed else "", machine_key)

    # carrying out

    def _carry_out(self, parsed: _Parsed, directory: Directory) -> Outcome:
        outcome = decide(self._attempt(parsed, directory))
        now = self._tailnet.clock()
        match outcome:
            case Shorten(node, expiry):
                outcome = Confirm(replace(node, expiry=expiry))
                directory.put_node(outcome.node)
                record_client(directory, now, "node.expire", node, outcome.node)
            case Logout(node) if node is not None:
                if node.ephemeral:
                    directory.delete_node(node.id)
                    record_client(directory, now, "node.delete", node, None)
                else:
                    directory.put_node(replace(node, expiry=now))
                    record_client(directory, now, "node.logout", node, replace(node, expiry=now))
            case Join():
                if outcome.renewal and outcome.former is not None:
                    node = _put_renewed(parsed, outcome.former, directory, now)
                else:
                    node = self._join(parsed, outcome, directory)
                key = outcome.key
                if key is not None:
                    used = replace(key, used=True, uses=key.uses + 1, last_used_at=now)
                    directory.put_preauth_key(used)
                actor = Actor(kind="node", name=str(node.id))
                verb = "node.register" if outcome.former is None else "node.reauthenticate"
                if outcome.renewal:
                    verb = "node.renew_key"
                record_join(directory, now, actor, outcome, node, verb)
                outcome = Confirm(node)
        return outcome

    def _join(
        self,
        parsed: _Parsed,
        join: Join,
        directory: Directory,
        *,
        admitted: bool = False,
        method: str = REGISTERED_BY_CLI,
        until: datetime | None = None,
    ) -> Node:
        if join.user_id is not None:
            require_active(directory.user(join.user_id))
        now = self._tailnet.clock()
        hostinfo = parsed.request.hostinfo or {}
        name = hostname(hostinfo)
        expiry = None if join.tags else until or self._expiry(now, parsed.wish)
        approval = APPROVED if admitted else self._approval(join, directory)
        if join.former is not None:
            node = replace(
                join.former,
                node_key=parsed.node_key,
                key_since=now,
                rotation=None,
                network_lock_key=parsed.network_lock_key,
                user_id=join.user_id,
                tags=join.tags,
                hostname=name or join.former.hostname,
                ephemeral=join.ephemeral,
                approval=approval,
                expiry=expiry,
                auth_key_id=join.key.id if join.key else join.former.auth_key_id,
                hostinfo=hostinfo or join.former.hostinfo,
                cap_version=parsed.request.version or join.former.cap_version,
            )
        else:
            node = Node(
                id=NodeID(directory.next_id("nodes")),
                machine_key=parsed.machine_key,
                node_key=parsed.node_key,
                network_lock_key=parsed.network_lock_key,
                user_id=join.user_id,
                tags=join.tags,
                hostname=name,
                given_name=unique_label(label_from_hostname(name), directory.name_taken),
                ipv4=None,
                ipv6=self._addresses.ipv6(directory),
                register_method=REGISTERED_BY_AUTH_KEY if join.key else method,
                auth_key_id=join.key.id if join.key else None,
                ephemeral=join.ephemeral,
                approval=approval,
                expiry=expiry,
                created_at=now,
                key_since=now,
                hostinfo=hostinfo,
                cap_version=parsed.request.version,
                last_seen=now,
            )
            node = replace(node, ipv4=self._addresses.ipv4(directory, node))
        directory.put_node(node)
        return node

    def _approval(self, join: Join, directory: Directory) -> str:
        user = None if join.user_id is None else directory.user(join.user_id)
        return self._settings.approval.state(user=user, tags=join.tags, key=join.key, former=join.former)

    def _expiry(self, now: datetime, wish: datetime | None) -> datetime | None:
        lifetime = self._settings.key_lifetime
        limit = now + lifetime if lifetime else None
        if wish is None or limit is None:
            return wish or limit
        return min(wish, limit)

    # answering

    def _answer(self, parsed: _Parsed, outcome: Outcome) -> RegisterResponse:
        match outcome:
            case Confirm(node):
                user, login = self._identity(node)
                return RegisterResponse(user=user, login=login, machine_authorized=node.approved)
            case RenewKey(node):
                user, login = self._identity(node)
                return RegisterResponse(
                    user=user, login=login, machine_authorized=node.approved, node_key_expired=True
                )
            case Logout():
                return RegisterResponse(user=NOBODY, login=NOBODY, node_key_expired=True)
            case Login():
                url = self._logins.begin(parsed.machine_key, parsed.node_key, parsed.request)
                return RegisterResponse(user=NOBODY, login=NOBODY, auth_url=url)
            case Refuse(message):
                log.info("registration refused", reason=message)
                return RegisterResponse(user=NOBODY, login=NOBODY, error=message)
            case _:
                raise CoordinatorError("registration was decided but not carried out")

    def _identity(self, node: Node) -> tuple[dict[str, object], dict[str, object]]:
        """User and Login of a response; both always filled, or the client does not save its profile."""
        if node.tags or node.user_id is None:
            user_id, login_name, display = TAGGED_DEVICES_USER_ID, TAGGED_DEVICES_LOGIN, "Tagged Devices"
        else:
            user = self._tailnet.snapshot.users.get(node.user_id)
            user_id = node.user_id
            login_name = user.login if user else f"user-{user_id}"
            display = (user.display_name or user.name) if user else login_name
        return (
            {"ID": user_id, "DisplayName": display},
            {"ID": user_id, "Provider": "", "LoginName": login_name, "DisplayName": display},
        )


def _suspension(key: PreAuthKey | None, directory: Directory) -> str | None:
    if key is None or key.user_id is None:
        return None
    owner = directory.user(key.user_id)
    return suspension_notice(owner) if owner.suspended else None


def _put_renewed(parsed: _Parsed, former: Node, directory: Directory, now: datetime) -> Node:
    """The awaited new key, and nothing else of the node changes."""
    node = replace(
        renewed(former, parsed.node_key, now),
        network_lock_key=parsed.network_lock_key,
        hostinfo=parsed.request.hostinfo or former.hostinfo,
    )
    directory.put_node(node)
    return node


def _already_in(node: Node, machine_key: MachineKey, user_id: UserID) -> Node:
    """The node a login would make, there already: it was approved twice, or joined with a key since."""
    if (node.machine_key, node.user_id, node.tags) == (machine_key, user_id, ()):
        return node
    if node.machine_key != machine_key:
        raise ConflictError("another machine holds this machine's node key: let it log in anew")
    raise ConflictError(
        f"the machine joined meanwhile as node `{node.given_name}` (id {node.id}), which is not this user's; "
        "`nodes move` gives a node to another user"
    )


def _parse(machine_key: MachineKey, request: RegisterRequest) -> _Parsed:
    node_key = parse_node_key(request.node_key)
    if is_zero(node_key):
        raise WireError("NodeKey is the zero key")
    old = parse_node_key(request.old_node_key) if request.old_node_key else None
    lock = parse_network_lock_key(request.network_lock_key) if request.network_lock_key else None
    return _Parsed(
        machine_key=machine_key,
        node_key=node_key,
        old_node_key=old if old is not None and not is_zero(old) else None,
        network_lock_key=lock if lock is not None and not is_zero(lock) else None,
        wish=parse_go_time(request.expiry),
        auth_key=request.auth.auth_key.strip() if request.auth else "",
        request=request,
    )
