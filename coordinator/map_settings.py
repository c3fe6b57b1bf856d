"""From settings to what every map carries. Called by the composition root and by `configtest`."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import yaml

from coordinator.netmap.config import MapConfig, staggered_dial_plan
from coordinator.netmap.derp import EmbeddedRelay, build_derp_map, regions_from_document
from coordinator.netmap.dns import DNSSettings, build_dns_config
from coordinator.settings.extra_records import with_extra_records
from coordinator.settings.load import SettingsError
from coordinator.settings.model import Settings
from coordinator.tailcfg.derp_map import DERPRegion
from coordinator.tailcfg.dns_config import DNSRecord
from coordinator.tailnet.errors import InvalidError

ANY_RELAY = DERPRegion(region_id=1, region_code="any", region_name="any", nodes=())


class ConfigMaker:
    """Makes the configuration of the moment: files are read each time.

    Args:
        settings: As loaded.
        certificate_sha256: Pin of the relay's own certificate, if it has one.
    """

    def __init__(self, settings: Settings, certificate_sha256: str | None) -> None:
        self._settings = settings
        self._certificate_sha256 = certificate_sha256
        self._older: tuple[EmbeddedRelay, ...] = ()
        self._younger: tuple[EmbeddedRelay, ...] = ()

    @property
    def relay(self) -> EmbeddedRelay | None:
        """The relay of this server, if clients are told of it."""
        return _embedded_relay(self._settings, self._certificate_sha256)

    def neighbours(self, older: Sequence[EmbeddedRelay], younger: Sequence[EmbeddedRelay]) -> None:
        """The relays of other instances, by whether they are longer at work: of one region the oldest counts,
        so that all instances tell clients the same.
        """
        self._older, self._younger = tuple(older), tuple(younger)

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read."""
        records = self._settings.dns.extra_records_path
        return (*self._settings.derp_paths, *([records] if records is not None else []))

    def __call__(self, fetched: Sequence[DERPRegion]) -> MapConfig:
        """Names, relays and DNS, with relays that were fetched from elsewhere.

        Raises:
            InvalidError: a file is wrong, or there is no region at all.
        """
        try:
            settings = with_extra_records(self._settings)
        except SettingsError as error:
            raise InvalidError("; ".join(error.problems)) from error
        relay = self.relay
        own = () if relay is None else (relay,)
        return _map_config(settings, (*self._older, *own, *self._younger), fetched)


def map_config(
    settings: Settings, *, certificate_sha256: str | None, fetched: Sequence[DERPRegion] = ()
) -> MapConfig:
    """Names, relays and DNS for the netmap room.

    Args:
        settings: As loaded.
        certificate_sha256: Pin of the relay's own certificate, if it has one.
        fetched: Relays from elsewhere; those in files win over them.

    Raises:
        InvalidError: a DERP file is wrong, or there is no region at all.
    """
    relay = _embedded_relay(settings, certificate_sha256)
    return _map_config(settings, () if relay is None else (relay,), fetched)


def _map_config(
    settings: Settings, relays: Sequence[EmbeddedRelay], fetched: Sequence[DERPRegion]
) -> MapConfig:
    local = [region for path in settings.derp_paths for region in _regions_from_file(path)]
    regions = [*fetched, *local]
    prefixes = [network for network in (settings.prefix_v4, settings.prefix_v6) if network is not None]
    dns = settings.dns
    capabilities: dict[str, list[object] | None] = {
        "https://tailscale.com/cap/is-admin": None,
        "https://tailscale.com/cap/ssh": None,
        "default-auto-update": [settings.auto_update_enabled],
    }
    if settings.taildrop_enabled:
        capabilities["https://tailscale.com/cap/file-sharing"] = None
    return MapConfig(
        base_domain=dns.base_domain,
        derp_map=build_derp_map(relays, regions, pinning=True),
        derp_map_unpinned=build_derp_map(relays, regions, pinning=False),
        dns=build_dns_config(
            DNSSettings(
                magic_dns=dns.magic_dns,
                base_domain=dns.base_domain,
                override_local_dns=dns.override_local_dns,
                nameservers=dns.nameservers,
                split=dns.split,
                search_domains=dns.search_domains,
                extra_records=[
                    DNSRecord(name=record["name"], type=record.get("type", "A"), value=record["value"])
                    for record in dns.extra_records
                ],
            ),
            prefixes,
        ),
        capabilities=capabilities,
        disable_logtail=not settings.logtail_enabled,
        dial_plan=staggered_dial_plan(settings.server_host) if _is_address(settings.server_host) else (),
    )


def _embedded_relay(settings: Settings, certificate_sha256: str | None) -> EmbeddedRelay | None:
    relay = settings.relay
    if not relay.enabled or not relay.in_map:
        return None
    own_listener = settings.plain_http and relay.tls_listen_addr is not None
    port = relay.tls_listen_addr[1] if own_listener and relay.tls_listen_addr else settings.server_port
    return EmbeddedRelay(
        region_id=relay.region_id,
        region_code=relay.region_code,
        region_name=relay.region_name,
        host=settings.server_host,
        port=port,
        stun_port=relay.stun_listen_addr[1] if relay.stun_listen_addr else -1,
        ipv4=relay.ipv4 or None,
        ipv6=relay.ipv6 or None,
        certificate_sha256=certificate_sha256,
    )


def _regions_from_file(path: Path) -> list[DERPRegion]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidError(f"derp.paths: {path}: {error}") from error
    return regions_from_document(document, str(path))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
