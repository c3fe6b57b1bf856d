"""The first configuration."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

from acl import parse_policy
from coordinator.settings.load import load_settings
from coordinator.settings.quickstart import private_address, write_first_configuration


def test_it_loads_and_keeps_everything_in_its_directory(tmp_path: Path) -> None:
    path = write_first_configuration(tmp_path / "var")
    settings, notices = load_settings(path, {})
    assert notices == []
    for each in (settings.unix_socket, settings.database.sqlite_path, settings.noise_private_key_path):
        assert each.parent == tmp_path / "var"
    assert settings.relay.enabled
    assert settings.policy_path is not None
    parse_policy(settings.policy_path.read_text())


def test_it_is_written_once(tmp_path: Path) -> None:
    path = write_first_configuration(tmp_path)
    path.write_text("# mine")
    assert write_first_configuration(tmp_path).read_text() == "# mine"


def test_the_address_is_one_clients_can_use_with_plain_http() -> None:
    address = ip_address(private_address())
    private = [ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8")]
    assert any(address in network for network in private)
