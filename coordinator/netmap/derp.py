"""The DERP map: the embedded relay and relays from files, for clients that can pin certificates and for those
that cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from msgspec import UNSET

from coordinator.netmap.config import MapConfig
from coordinator.tailcfg.derp_map import DERPMap, DERPNode, DERPRegion
from coordinator.tailnet.errors import InvalidError

DEFAULT_STUN_PORT = 3478


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRelay:
    """How clients reach the relay in this server.

    `certificate_sha256` is set when the relay presents a self-signed certificate: hex of the SHA-256 of its
    DER.
    """

    region_id: int
    region_code: str
    region_name: str
    host: str
    port: int
    stun_port: int
    ipv4: str | None = None
    ipv6: str | None = None
    certificate_sha256: str | None = None


def embedded_region(relay: EmbeddedRelay, *, pinning: bool) -> DERPRegion:
    """The region of the embedded relay.

    Clients before 1.82 take a pin for a host name and refuse the relay, so they are told not to verify its
    certificate; traffic through a relay is encrypted end to end all the same.
    """
    pin: dict[str, Any] = {}
    if relay.certificate_sha256 is not None:
        if pinning:
            pin["cert_name"] = f"sha256-raw:{relay.certificate_sha256}"
        else:
            pin["insecure_for_tests"] = True
    ipv4, ipv6 = relay.ipv4, relay.ipv6
    literal = _literal(relay.host)
    if literal is not None:
        ipv4 = ipv4 or (relay.host if literal == 4 else "none")
        ipv6 = ipv6 or (relay.host if literal == 6 else "none")
    node = DERPNode(
        name=f"{relay.region_id}a",
        region_id=relay.region_id,
        host_name=relay.host,
        ipv4=ipv4 or UNSET,
        ipv6=ipv6 or UNSET,
        stun_port=relay.stun_port,
        derp_port=relay.port,
        **pin,
    )
    return DERPRegion(
        region_id=relay.region_id,
        region_code=relay.region_code,
        region_name=relay.region_name,
        nodes=(node,),
    )


def build_derp_map(
    relays: Sequence[EmbeddedRelay], others: Iterable[DERPRegion], *, pinning: bool
) -> DERPMap:
    """All regions, keyed by id; embedded ones win over a file that has the same id, the first of them most.

    Raises:
        InvalidError: there is none: clients without a relay never come up.
    """
    regions = {str(region.region_id): region for region in others}
    for relay in reversed(relays):
        region = embedded_region(relay, pinning=pinning)
        regions[str(region.region_id)] = region
    if not regions:
        raise InvalidError(
            "no DERP region is configured, and clients do not come up without one: "
            "set `derp.server.enabled: true`, or name a map in `derp.paths` or one in `derp.urls`"
        )
    return DERPMap(regions=dict(sorted(regions.items(), key=lambda item: int(item[0]))))


def with_policy_relays(config: MapConfig, section: object) -> MapConfig:
    """The configuration with a policy's `derpMap` merged in.

    Its regions stand beside the configured ones and win over those with the same id; `null` takes one away;
    `OmitDefaultRegions` takes all of them.

    Raises:
        InvalidError: a region is malformed, or none is left: clients without a relay never come up.
    """
    if section is None:
        return config
    return replace(
        config,
        derp_map=_merged(config.derp_map, section),
        derp_map_unpinned=_merged(config.derp_map_unpinned, section),
    )


def _merged(configured: DERPMap, section: object) -> DERPMap:
    fields = _fold(section, "derpMap")
    own = _fold(fields.get("regions") or {}, "derpMap: Regions")
    regions = {} if fields.get("omitdefaultregions") else dict(configured.regions)
    for key in own:
        regions.pop(key, None)
    for region in regions_from_document({"regions": own}, "derpMap"):
        regions[str(region.region_id)] = region
    if not regions:
        raise InvalidError("derpMap leaves no region, and clients do not come up without one: name a region")
    return DERPMap(regions=dict(sorted(regions.items(), key=lambda item: int(item[0]))))


def regions_from_document(document: object, source: str) -> list[DERPRegion]:
    """Regions of a DERP map file, in headscale's YAML spelling (lower-case names) or Tailscale's JSON
    spelling.

    Args:
        document: As parsed.
        source: The file's name, for messages.

    Raises:
        InvalidError: with the place of what is wrong.
    """
    fields = _fold(document, source)
    regions = _fold(fields.get("regions"), f"{source}: regions")
    return [_region(str(key), value, source) for key, value in regions.items() if value is not None]


def _region(key: str, value: object, source: str) -> DERPRegion:
    place = f"{source}: region {key}"
    fields = _fold(value, place)
    region_id = _integer(fields.get("regionid", key), place)
    nodes = fields.get("nodes") or ()
    if not isinstance(nodes, Sequence) or isinstance(nodes, str):
        raise InvalidError(f"{place}: nodes must be a list")
    return DERPRegion(
        region_id=region_id,
        region_code=str(fields.get("regioncode", key)),
        region_name=str(fields.get("regionname", fields.get("regioncode", key))),
        avoid=bool(fields["avoid"]) if "avoid" in fields else UNSET,
        nodes=tuple(
            _node(node, region_id, f"{place}, node {number}") for number, node in enumerate(nodes, 1)
        ),
    )


def _node(value: object, region_id: int, place: str) -> DERPNode:
    fields = _fold(value, place)
    host = fields.get("hostname")
    if not isinstance(host, str) or not host:
        raise InvalidError(f"{place}: hostname is missing")
    return DERPNode(
        name=str(fields.get("name") or host),
        region_id=region_id,
        host_name=host,
        cert_name=str(fields["certname"]) if fields.get("certname") else UNSET,
        ipv4=str(fields["ipv4"]) if fields.get("ipv4") else UNSET,
        ipv6=str(fields["ipv6"]) if fields.get("ipv6") else UNSET,
        stun_port=_integer(fields["stunport"], place) if "stunport" in fields else UNSET,
        stun_only=bool(fields["stunonly"]) if "stunonly" in fields else UNSET,
        derp_port=_integer(fields["derpport"], place) if "derpport" in fields else UNSET,
        insecure_for_tests=bool(fields["insecurefortests"]) if "insecurefortests" in fields else UNSET,
        can_port80=bool(fields["canport80"]) if "canport80" in fields else UNSET,
    )


def _fold(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidError(f"{place}: must be a mapping")
    return {str(key).lower(): item for key, item in value.items()}


def _integer(value: object, place: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise InvalidError(f"{place}: `{value}` is not a number") from None


def _literal(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None
