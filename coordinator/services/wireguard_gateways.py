"""Gateways of plain WireGuard: create, list, delete, rotate key and token, and tell whose a token is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard_allocation import allocate
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_claims import require_free_key
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.addresses import Network
from coordinator.tailnet.bearer_tokens import (
    GATEWAY_TOKEN,
    SECRET_BYTES,
    new_token,
    split_token,
    token_matches,
)
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.wireguard.hosts import HostError, parse_host
from coordinator.wireguard.keys import KeyTextError, parse_public_key
from coordinator.wireguard.model import Gateway, GatewayKey, Peer, live_peers
from coordinator.wireguard.pools import Pool, PoolError, overlap, parse_pool

DEFAULT_PORT = 51820
_INTERFACE = "wgcoord"
DEFAULT_OVERLAP = timedelta(days=7)
LONGEST_OVERLAP = timedelta(days=90)
MAX_WORD = 200
"""Characters of the name of a team or a profile."""
# With a letter: a number is an id wherever one of them may be said.
_NAME = re.compile(r"(?=[0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayWanted:
    """What a gateway is to be."""

    name: str
    host: str
    pools: tuple[Pool, ...]
    listen_port: int = DEFAULT_PORT
    mtu: int = 1420
    dns: tuple[str, ...] = ()
    keepalive: int = 25
    masquerade: bool = True
    tailnet: bool = False
    profiles: tuple[str, ...] = ()
    rotate_days: int = 0
    declared: bool = False


class WireGuardGateways:
    """Verbs on gateways.

    Args:
        tailnet: The writer.
        book: What is published.
        random_bytes: So many random bytes.
        taken: Networks that no pool may touch, such as the tailnet's own.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        book: WireGuardBook,
        random_bytes: Callable[[int], bytes],
        taken: tuple[Network, ...] = (),
    ) -> None:
        self._tailnet = tailnet
        self.book = book
        self._random_bytes = random_bytes
        self._networks = taken

    def all(self) -> list[Gateway]:
        """All gateways, by id."""
        return sorted(self.book.gateways.values(), key=lambda gateway: gateway.id)

    def authenticate(self, text: str) -> Gateway | None:
        """The gateway a token proves, in a time that does not depend on the token."""
        parts = split_token(GATEWAY_TOKEN, text)
        prefix, secret = parts or ("0" * 12, "")
        found = next((each for each in self.book.gateways.values() if each.token_prefix == prefix), None)
        matches = token_matches(prefix, None if found is None else found.token_hash, secret)
        return found if matches and parts is not None else None

    async def create(self, wanted: GatewayWanted, *, actor: Actor) -> tuple[Gateway, str]:
        """Create a gateway; returns it with its token, which is never shown again.

        Raises:
            InvalidError: a value makes no sense.
            ConflictError: the name is taken, or a pool overlaps with another one.
            UnavailableError: a pool has no address left for the gateway itself.
        """
        self.check(wanted)
        text, prefix, digest = new_token(GATEWAY_TOKEN, self._random_bytes(SECRET_BYTES))
        gateway = await self._tailnet.execute(
            lambda directory: self.put_new(directory, wanted, prefix, digest, actor)
        )
        return gateway, text

    def put_new(
        self, directory: Directory, wanted: GatewayWanted, prefix: str, digest: bytes, actor: Actor
    ) -> Gateway:
        """Within a command: a new gateway, which must have passed `check`."""
        now = self._tailnet.clock()
        if directory.wireguard.named("wggateway", wanted.name) is not None:
            raise ConflictError(f"there is a WireGuard gateway `{wanted.name}` already")
        _require_apart(directory, wanted.pools, None)
        addresses = [each for pool in wanted.pools for each in allocate(directory, pool, now, timedelta())]
        gateway_id = directory.next_id("wireguard_gateways")
        name, _ = interfaces_of(gateway_id)
        first = GatewayKey(key_id="key-1", interface=name, listen_port=wanted.listen_port, since=now)
        gateway = Gateway(
            id=gateway_id,
            addresses=tuple(addresses),
            keys=(first,),
            token_prefix=prefix,
            token_hash=digest,
            created_at=now,
            created_by=str(actor),
            **settable(wanted),
        )
        directory.put_wireguard(gateway)
        self._audit(directory, actor, "wggateway.create", gateway)
        return gateway

    def put_changed(
        self, directory: Directory, current: Gateway, wanted: GatewayWanted, actor: Actor
    ) -> Gateway:
        """Within a command: other values for a gateway; pools that peers draw from cannot go."""
        now = self._tailnet.clock()
        _require_apart(directory, wanted.pools, current.id)
        kept = [network for pool in wanted.pools for network in pool.networks]
        _require_unused(directory, current, kept)
        addresses = [each for each in current.addresses if _within(each, kept)]
        for pool in wanted.pools:
            for network in pool.networks:
                if not any(_within(each, [network]) for each in addresses):
                    single = Pool(networks=(network,), team=pool.team)
                    addresses += allocate(directory, single, now, timedelta())
        newest = current.keys[-1]
        newest = replace(newest, listen_port=newest.listen_port + wanted.listen_port - base_port(current))
        changed = replace(
            current,
            addresses=tuple(addresses),
            keys=(*current.keys[:-1], newest),
            **settable(wanted),
        )
        directory.put_wireguard(changed)
        self._audit(directory, actor, "wggateway.change", changed, before=gateway_facts(current))
        return changed

    def check(self, wanted: GatewayWanted) -> None:
        """Refuse values that make no sense.

        Raises:
            InvalidError: which, and why.
        """
        if not _NAME.fullmatch(wanted.name):
            raise InvalidError(
                f"gateway name `{wanted.name[:80]}`: use up to 63 lower-case letters, digits and `-`, "
                "a letter among them"
            )
        try:
            parse_host(wanted.host)
        except HostError as error:
            raise InvalidError(str(error)) from None
        if not wanted.pools:
            raise InvalidError("a gateway needs a pool, such as 10.90.0.0/24")
        for name, value, low, high in (
            ("listen port", wanted.listen_port, 1, 65534),
            ("MTU", wanted.mtu, 1280, 9000),
            ("keepalive", wanted.keepalive, 0, 65535),
            ("rotation (days)", wanted.rotate_days, 0, 3650),
        ):
            if not low <= value <= high:
                raise InvalidError(f"the {name} of a gateway is from {low} to {high}, not {value}")
        for server in wanted.dns:
            _require_address(server)
        teams = [pool.team for pool in wanted.pools]
        for word in (*teams, *wanted.profiles):
            if len(word) > MAX_WORD or not word.isprintable():
                raise InvalidError(f"teams and profiles have names of at most {MAX_WORD} visible characters")
        if len(set(teams)) != len(teams):
            raise InvalidError("each team, and everybody, has one pool on a gateway at most")
        for network in (ip_network(text) for pool in wanted.pools for text in pool.networks):
            for other in self._networks:
                if network.version == other.version and network.overlaps(other):
                    raise InvalidError(f"pool {network} overlaps with {other}, the addresses of the tailnet")

    async def delete(self, gateway_id: int, *, force: bool, actor: Actor) -> list[Peer]:
        """Remove a gateway; its living peers end with it, if `force` says so.

        Raises:
            NotFoundError: there is none.
            ConflictError: it has peers.
        """
        return await self._tailnet.execute(
            lambda directory: self.put_deleted(directory, gateway_id, force, actor)
        )

    def put_deleted(self, directory: Directory, gateway_id: int, force: bool, actor: Actor) -> list[Peer]:
        """Within a command: a gateway goes."""
        gateway, now = directory.wireguard.gateway(gateway_id), self._tailnet.clock()
        peers = live_peers(directory.wireguard.peers(), gateway_id)
        if peers and not force:
            raise ConflictError(
                f"gateway `{gateway.name}` has {len(peers)} peers: revoke them, or delete it with --force"
            )
        for peer in peers:
            ended = peer.ended(now, str(actor), "gateway deleted")
            directory.put_wireguard(ended)
            directory.audit(now, actor, "wgpeer.end", peer.key, {"reason": "gateway deleted"}, name=peer.name)
        directory.delete_wireguard(gateway.key)
        before = gateway_facts(gateway)
        directory.audit(now, actor, "wggateway.delete", gateway.key, before=before, name=gateway.name)
        return peers

    async def rotate_token(self, gateway_id: int, *, actor: Actor) -> tuple[Gateway, str]:
        """Another token; the former one is refused from now on."""
        text, prefix, digest = new_token(GATEWAY_TOKEN, self._random_bytes(SECRET_BYTES))

        def command(directory: Directory) -> Gateway:
            gateway = directory.wireguard.gateway(gateway_id)
            changed = replace(gateway, token_prefix=prefix, token_hash=digest)
            directory.put_wireguard(changed)
            self._audit(directory, actor, "wggateway.rotate_token", changed)
            return changed

        return await self._tailnet.execute(command), text

    async def rotate_key(self, gateway_id: int, overlap_for: timedelta, *, actor: Actor) -> Gateway:
        """Begin a new key on an interface of its own; the former one is valid for the overlap.

        Raises:
            InvalidError: the overlap makes no sense.
            ConflictError: a rotation is under way, or the gateway never reported its first key.
        """
        if not timedelta() <= overlap_for <= LONGEST_OVERLAP:
            raise InvalidError(f"the overlap is from 0 to {LONGEST_OVERLAP.days} days")

        def command(directory: Directory) -> Gateway:
            changed = with_new_key(
                directory.wireguard.gateway(gateway_id), self._tailnet.clock(), overlap_for
            )
            directory.put_wireguard(changed)
            self._audit(directory, actor, "wggateway.rotate_key", changed)
            return changed

        return await self._tailnet.execute(command)

    async def reported(self, gateway: Gateway, keys: Mapping[str, str], *, actor: Actor) -> bool:
        """A gateway says its public keys; whether something is new.

        Raises:
            InvalidError: one of them is none.
            ConflictError: somebody else uses it.
        """
        known = {key.key_id: key.public_key for key in gateway.keys}
        news = {key_id: text for key_id, text in keys.items() if key_id in known and known[key_id] != text}
        if not news:
            return False
        for text in news.values():
            try:
                parse_public_key(text)
            except KeyTextError as error:
                raise InvalidError(
                    f"gateway `{gateway.name}` reported a key that is none: {error}"
                ) from error

        def command(directory: Directory) -> None:
            current = directory.wireguard.gateway(gateway.id)
            for key in current.keys:
                text = news.get(key.key_id, key.public_key)
                if text != key.public_key:
                    require_free_key(directory, text)
                    if text in [each.public_key for each in current.keys]:
                        raise ConflictError(f"gateway `{gateway.name}` reported one key under two names")
                    current = current.with_key(replace(key, public_key=text))
            directory.put_wireguard(current)
            self._audit(directory, actor, "wggateway.key", current, before=gateway_facts(gateway))

        await self._tailnet.execute(command)
        return True

    def _audit(
        self,
        directory: Directory,
        actor: Actor,
        verb: str,
        gateway: Gateway,
        before: dict[str, Any] | None = None,
    ) -> None:
        now, after = self._tailnet.clock(), gateway_facts(gateway)
        directory.audit(now, actor, verb, gateway.key, after, before=before, name=gateway.name)


def with_new_key(gateway: Gateway, now: datetime, overlap_for: timedelta) -> Gateway:
    """With one more key on the other interface and the next port.

    Raises:
        ConflictError: two keys are valid already, or the first is not known yet.
    """
    old = gateway.keys[-1]
    valid = [key for key in gateway.keys if key.until is None or now < key.until]
    if len(valid) > 1:
        raise ConflictError(f"a key of gateway `{gateway.name}` is being rotated; wait for {valid[0].until}")
    if not old.public_key:
        raise ConflictError(f"gateway `{gateway.name}` has not reported its key yet: start it first")
    number = max(int(key.key_id.rpartition("-")[2]) for key in gateway.keys) + 1
    swapped = base_port(gateway) == old.listen_port
    beside = int(old.interface.removeprefix(_INTERFACE)) + (1 if swapped else -1)
    new = GatewayKey(
        key_id=f"key-{number}",
        interface=f"{_INTERFACE}{beside}",
        listen_port=old.listen_port + 1 if swapped else old.listen_port - 1,
        since=now,
    )
    return replace(gateway, keys=(replace(old, until=now + overlap_for), new))


def interfaces_of(gateway_id: int) -> tuple[str, str]:
    """A gateway's key has an interface of its own, so that two keys can be valid side by side.

    Nor do two gateways share a name: `wireguard-go` has one socket of a name for all network namespaces.
    """
    first = 2 * (gateway_id - 1)
    return f"{_INTERFACE}{first}", f"{_INTERFACE}{first + 1}"


def base_port(gateway: Gateway) -> int:
    """The port of the first interface; the second has the next one."""
    newest = gateway.keys[-1]
    return newest.listen_port - int(newest.interface.removeprefix(_INTERFACE)) % 2


def settable(wanted: GatewayWanted) -> dict[str, Any]:
    """The values that a gateway takes over as they are."""
    names = ("name", "host", "pools", "mtu", "dns", "keepalive", "masquerade", "tailnet", "profiles",
             "rotate_days", "declared")  # fmt: skip
    return {name: getattr(wanted, name) for name in names}


def gateway_facts(gateway: Gateway) -> dict[str, Any]:
    """A gateway for the audit log."""
    return {
        "host": gateway.host,
        "networks": [network for pool in gateway.pools for network in pool.networks],
        "addresses": list(gateway.addresses),
        "keys": {key.key_id: key.public_key for key in gateway.keys},
        "ports": [key.listen_port for key in gateway.keys],
        "tailnet": gateway.tailnet,
        "profiles": list(gateway.profiles),
        "token": f"{GATEWAY_TOKEN}{gateway.token_prefix}-***",
    }


def pools_from(texts: Mapping[str, list[str]]) -> tuple[Pool, ...]:
    """Pools from networks by team.

    Raises:
        InvalidError: what is wrong with one.
    """
    try:
        return tuple(parse_pool(networks, team) for team, networks in texts.items())
    except PoolError as error:
        raise InvalidError(str(error)) from error


def _require_address(text: str) -> None:
    try:
        usable = "%" not in str(ip_address(text))
    except ValueError:
        usable = False
    if not usable:
        raise InvalidError(f"name server `{text[:80]}` is not an address such as 10.1.2.53")


def _require_apart(directory: Directory, pools: tuple[Pool, ...], gateway_id: int | None) -> None:
    others = [pool for each in directory.wireguard.gateways() if each.id != gateway_id for pool in each.pools]
    for position, pool in enumerate(pools):
        for other in (*others, *pools[:position]):
            clash = overlap(pool, other)
            if clash:
                raise ConflictError(f"pools: {clash}")


def _require_unused(directory: Directory, gateway: Gateway, kept: list[str]) -> None:
    for peer in live_peers(directory.wireguard.peers(), gateway.id):
        for address in peer.addresses:
            if not _within(address, kept):
                raise ConflictError(
                    f"peer `{peer.name}` has {address}, which no pool of `{gateway.name}` would have"
                )


def _within(address: str, networks: list[str]) -> bool:
    return any(ip_network(address).overlaps(ip_network(each)) for each in networks if _same(address, each))


def _same(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)
