"""Everything behind the shells, put together: the store, the tailnet in memory, and the services on it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from sqlalchemy import URL

from acl import PolicyIndex
from coordinator.derived_keys import derive_key
from coordinator.instances_setup import Company, Followed, join_instances, make_instance
from coordinator.map_settings import ConfigMaker
from coordinator.netmap.config import MapConfig
from coordinator.netmap.fragments import Fragments
from coordinator.netmap.world import World
from coordinator.services.access import AccessService
from coordinator.services.access_scope import AccessScope
from coordinator.services.admin_refusals import AdminRefusals
from coordinator.services.api_keys import ApiKeyService
from coordinator.services.attributes import AttributeService
from coordinator.services.declared_profiles import DeclaredProfiles
from coordinator.services.device_approval import DeviceApproval
from coordinator.services.identities import IdentityService
from coordinator.services.incidents import IncidentService
from coordinator.services.inventory import InventoryService, NodeInventory
from coordinator.services.key_rotation import KeyRotation
from coordinator.services.live_config import LiveConfig
from coordinator.services.login import PendingLogins
from coordinator.services.map_sessions import MapSessions
from coordinator.services.minted_machines import MintedMachines
from coordinator.services.nodes import NodeService
from coordinator.services.ownership import OwnershipService
from coordinator.services.policy import PolicyService
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.rate_limits import RateLimits, RateLimitSettings
from coordinator.services.registration import RegistrationService, RegistrationSettings
from coordinator.services.relay_maps import RelayMaps
from coordinator.services.rest_at_start import resting_at
from coordinator.services.ssh_checks import SSHChecks
from coordinator.services.sweeper import Sweeper
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.services.wireguard import WireGuard
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.settings.model import Database, Settings
from coordinator.store.engine import postgres_url, sqlite_url
from coordinator.store.preshared_seal import PURPOSE, PresharedKeySeal
from coordinator.store.store import Store
from coordinator.tailnet.addresses import Prefixes
from coordinator.tailnet.change_log import ChangeLog
from coordinator.tailnet.device_approval import ApprovalRule
from coordinator.tailnet.errors import CoordinatorError
from coordinator.tailnet.facts import tailnet_facts
from coordinator.tailnet.snapshot import Snapshot
from coordinator.tailnet.state import TailnetState
from coordinator.wireguard_setup import start_wireguard


class _Part(Protocol):
    """Something that works on its own."""

    def start(self) -> None:
        """Start it."""

    async def close(self) -> None:
        """Stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeys:
    """What clients know a server by: its public Noise key as text, the pin of its relay's own certificate."""

    noise: str
    relay_certificate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything behind the shells."""

    store: Store
    tailnet: Tailnet
    policy: PolicyService
    sessions: MapSessions
    logins: PendingLogins
    checks: SSHChecks
    attributes: AttributeService
    registration: RegistrationService
    nodes: NodeService
    ownership: OwnershipService
    users: UserService
    keys: PreAuthKeyService
    access: AccessService
    scope: AccessScope
    minted: MintedMachines
    api_keys: ApiKeyService
    incidents: IncidentService
    approval: DeviceApproval
    limits: RateLimits
    identities: IdentityService
    wireguard: WireGuard
    inventory: InventoryService
    rotation: KeyRotation
    refusals: AdminRefusals
    company: Company

    async def healthy(self) -> bool:
        """Whether the database answers."""
        try:
            await self.store.ping()
        except CoordinatorError:
            return False
        return True


async def start_services(
    settings: Settings, stack: AsyncExitStack, store: Store, keys: ServerKeys
) -> Services:
    """Load the tailnet and start what works on it; the stack stops it in reverse order.

    Raises:
        CoordinatorError, PolicyError: what is wrong, fit to be shown.
    """
    state = await store.load()
    make = ConfigMaker(settings, keys.relay_certificate)
    maps, fetched = await _relay_maps(settings)
    tailnet = _tailnet(settings, store, state, make(maps.regions()))
    nodes = NodeService(tailnet)
    policy = _policy(settings, tailnet, state, store, nodes)
    logins = PendingLogins(settings.server_url, utc_now, secrets.token_hex)
    checks = SSHChecks(tailnet, settings.server_url, secrets.token_hex)
    limits = RateLimits(RateLimitSettings(**asdict(settings.rate_limits)), monotonic)
    registration = await _registration(settings, store, tailnet, logins, limits)
    sessions = MapSessions(tailnet, window=settings.coalescing_window.total_seconds())
    sweeper = Sweeper(tailnet, inactivity=settings.ephemeral_inactivity, notice=settings.node_expiry_notice)
    access = AccessService(tailnet, policy, state.access.values())
    # Before the first commit: whoever follows commits must not miss one.
    book = WireGuardBook(tailnet, state.wireguard)
    api_keys = ApiKeyService(tailnet, state.api_keys.values(), secrets.token_bytes)
    minted = await _start_access(access, tailnet, stack, (tailnet, policy, sessions, sweeper))
    live = LiveConfig(tailnet, make, watched=make.files, maps=maps, every=settings.derp_refresh)
    _start_live(live, stack, fetched=fetched)
    followed = Followed(tailnet, sessions, logins, checks, make, live)
    company = await _company(settings, stack, store, keys, followed)
    inventory = InventoryService(tailnet, [NodeInventory(tailnet, access)], settings.rotation_age)
    return Services(
        store=store,
        tailnet=tailnet,
        policy=policy,
        sessions=sessions,
        logins=logins,
        checks=checks,
        attributes=AttributeService(tailnet),
        registration=registration,
        nodes=nodes,
        ownership=OwnershipService(tailnet, _registration_settings(settings)),
        users=UserService(tailnet),
        keys=PreAuthKeyService(tailnet, secrets.token_bytes),
        access=access,
        minted=minted,
        scope=AccessScope(tailnet, access.rules),
        api_keys=api_keys,
        incidents=IncidentService(tailnet, access),
        approval=DeviceApproval(tailnet),
        limits=limits,
        identities=IdentityService(tailnet),
        wireguard=start_wireguard(stack, settings, tailnet, policy, access, book, inventory, company.on_duty),
        company=company,
        rotation=KeyRotation(tailnet),
        refusals=AdminRefusals(tailnet),
        inventory=inventory,
    )


async def _relay_maps(settings: Settings) -> tuple[RelayMaps, bool]:
    """DERP maps from the network, as known now, and whether they are fresh."""
    maps = RelayMaps(settings.derp_urls, settings.noise_private_key_path.parent)
    maps.recall()
    return maps, not settings.derp_urls or (_needs_maps(settings, maps) and await maps.fetch())


async def _company(
    settings: Settings, stack: AsyncExitStack, store: Store, keys: ServerKeys, followed: Followed
) -> Company:
    """The other instances, which only a PostgreSQL can have."""
    if settings.database.kind != "postgres":
        return Company(on_duty=_always, catch_up=followed.tailnet.catch_up)
    me = make_instance(settings.server_url, keys.noise, followed.make.relay, utc_now)
    return await join_instances(stack, database_url(settings.database), store, me, followed)


def _always() -> bool:
    """There is one instance only."""
    return True


def _start_live(live: LiveConfig, stack: AsyncExitStack, *, fetched: bool) -> None:
    live.start(fetched=fetched)
    stack.push_async_callback(live.close)


async def _start_access(
    access: AccessService, tailnet: Tailnet, stack: AsyncExitStack, before: Sequence[_Part]
) -> MintedMachines:
    """Start what watches windows, after what it works on; what ended while the server was down is over then.

    Machines that were let in for such a window are gone before anybody can connect.
    """
    minted = MintedMachines(tailnet, access, secrets.token_bytes)
    access.windows.refresh()
    for part in (*before, access.windows, minted):
        part.start()
        stack.push_async_callback(part.close)
    await access.windows.tick()
    await minted.tick()
    return minted


def _needs_maps(settings: Settings, maps: RelayMaps) -> bool:
    """Whether there is no relay yet but those in the network, which a start has to wait for then."""
    embedded = settings.relay.enabled and settings.relay.in_map
    return not (embedded or settings.derp_paths or maps.regions())


def _policy(
    settings: Settings, tailnet: Tailnet, state: TailnetState, store: Store, nodes: NodeService
) -> PolicyService:
    """The policy, loaded and in force."""
    policy = PolicyService(
        tailnet,
        path=settings.policy_path,
        database_mode=settings.policy_in_database,
        stored=state.policy,
        versions=store.policies,
        declared=DeclaredProfiles(tailnet, state.declared),
        on_change=nodes.approve_by_policy,
    )
    policy.load()
    return policy


async def _registration(
    settings: Settings, store: Store, tailnet: Tailnet, logins: PendingLogins, limits: RateLimits
) -> RegistrationService:
    joining = _registration_settings(settings)
    resting = await resting_at(store.audit, utc_now(), joining.address_rest)
    return RegistrationService(tailnet, logins, joining, secrets.randbelow, limits, resting)


def _registration_settings(settings: Settings) -> RegistrationSettings:
    prefixes = Prefixes(v4=settings.prefix_v4, v6=settings.prefix_v6, random=settings.random_allocation)
    return RegistrationSettings(
        prefixes=prefixes,
        key_lifetime=settings.node_expiry or None,
        approval=ApprovalRule(
            required=settings.approval.required,
            exempt_users=frozenset(settings.approval.exempt_users),
            exempt_tags=frozenset(settings.approval.exempt_tags),
        ),
        address_rest=settings.address_rest,
    )


def _declared_groups(settings: Settings) -> tuple[str, ...]:
    """Groups that identity providers may put somebody into, as far as the configuration names them."""
    return tuple(
        f"group:{provider.groups_prefix}{name.removeprefix('group:')}"
        for provider in settings.oidc.providers
        for name in provider.groups_map.values()
    )


def _tailnet(settings: Settings, store: Store, state: TailnetState, config: MapConfig) -> Tailnet:
    """The state in memory, before the first policy is in force."""
    facts = tailnet_facts(
        state.users.values(),
        domain=config.domain,
        associated_domains=settings.associated_domains,
        declared_groups=_declared_groups(settings),
    )
    world = World(
        snapshot=Snapshot(), policy=PolicyIndex(None, facts), log=ChangeLog(), fragments=Fragments(config)
    )
    return Tailnet(
        store,
        state,
        world,
        utc_now,
        associated_domains=settings.associated_domains,
        auto_updates=settings.auto_update_enabled,
        declared_groups=_declared_groups(settings),
        shared=settings.database.kind == "postgres",
    )


def database_url(database: Database) -> URL:
    """Where the database is."""
    if database.kind == "postgres":
        return postgres_url(
            database.host,
            database.port,
            database.name,
            database.user,
            database.password.reveal(),
            database.ssl,
        )
    return sqlite_url(database.sqlite_path, wal=database.write_ahead_log)


async def open_store(database: Database, stack: AsyncExitStack, noise_key: bytes) -> Store:
    """Open the database, migrated to the newest schema; the stack closes it.

    Preshared keys are sealed there with a key that follows from the Noise key.
    """
    if database.kind != "postgres":
        database.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    seal = PresharedKeySeal(derive_key(noise_key, PURPOSE), secrets.token_bytes)
    store = await Store.open(database_url(database), echo=database.debug, seal=seal)
    stack.push_async_callback(store.close)
    return store


def utc_now() -> datetime:
    """The clock of a real server."""
    return datetime.now(UTC)
