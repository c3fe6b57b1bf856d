"""From settings to what maps carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.map_settings import ANY_RELAY, ConfigMaker, map_config
from coordinator.settings.load import load_settings
from coordinator.settings.model import Settings
from coordinator.tailnet.errors import InvalidError

BASE = """\
dns: {base_domain: tail.lab, override_local_dns: false}
derp: {server: {enabled: true, tls_listen_addr: "0.0.0.0:3443"}}
"""


def settings(tmp_path: Path, url: str, more: str = BASE) -> Settings:
    path = tmp_path / "config.yaml"
    path.write_text(f"server_url: {url}\n{more}")
    return load_settings(path, {})[0]


def test_plain_http_uses_the_relays_own_tls_listener(tmp_path: Path) -> None:
    config = map_config(settings(tmp_path, "http://10.0.0.1:8080"), certificate_sha256="ab")
    (node,) = config.derp_map.regions["999"].nodes
    assert (node.host_name, node.derp_port, node.cert_name) == ("10.0.0.1", 3443, "sha256-raw:ab")


def test_https_uses_the_main_listener(tmp_path: Path) -> None:
    config = map_config(settings(tmp_path, "https://vpn.example.com"), certificate_sha256=None)
    (node,) = config.derp_map.regions["999"].nodes
    assert (node.host_name, node.derp_port) == ("vpn.example.com", 443)


def test_only_an_address_gets_a_dial_plan(tmp_path: Path) -> None:
    assert map_config(settings(tmp_path, "http://10.0.0.1:8080"), certificate_sha256="ab").dial_plan
    assert not map_config(settings(tmp_path, "https://vpn.example.com"), certificate_sha256=None).dial_plan


def test_regions_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "derp.yaml").write_text("regions: {901: {regionid: 901, nodes: [{hostname: h}]}}")
    more = BASE + "metrics_listen_addr: ''\n"
    more = more.replace("derp: {", "derp: {paths: [derp.yaml], ")
    config = map_config(settings(tmp_path, "http://10.0.0.1:8080", more), certificate_sha256="ab")
    assert set(config.derp_map.regions) == {"901", "999"}


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "derp.yaml").write_text("regions: [")
    more = BASE.replace("derp: {", "derp: {paths: [derp.yaml], ")
    with pytest.raises(InvalidError, match=r"derp\.paths: .*derp\.yaml"):
        map_config(settings(tmp_path, "http://10.0.0.1:8080", more), certificate_sha256="ab")


def test_no_region_at_all_is_refused(tmp_path: Path) -> None:
    more = "dns: {base_domain: tail.lab, override_local_dns: false}\n"
    with pytest.raises(InvalidError, match="no DERP region"):
        map_config(settings(tmp_path, "http://10.0.0.1:8080", more), certificate_sha256=None)


def test_files_are_read_each_time_and_win_over_what_was_fetched(tmp_path: Path) -> None:
    derp, records = tmp_path / "derp.yaml", tmp_path / "records.json"
    derp.write_text("regions: {1: {regionid: 1, regionname: ours, nodes: [{hostname: h}]}}")
    records.write_text("[]")
    more = BASE.replace("derp: {", "derp: {paths: [derp.yaml], ")
    more = more.replace("dns: {", "dns: {extra_records_path: records.json, ")
    make = ConfigMaker(settings(tmp_path, "http://10.0.0.1:8080", more), "ab")
    assert make.files == (derp, records)
    first = make([ANY_RELAY])
    assert first.derp_map.regions["1"].region_name == "ours"
    derp.write_text("regions: {}")
    records.write_text('[{"name": "a.tail.lab", "type": "A", "value": "100.64.0.9"}]')
    second = make([ANY_RELAY])
    assert second.derp_map.regions["1"].region_name == "any"
    assert second.dns.extra_records != first.dns.extra_records
    records.write_text("[")
    with pytest.raises(InvalidError, match=r"extra_records_path.*records\.json"):
        make([])
