"""What the tree derives."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.settings.load import load_settings


@pytest.mark.parametrize(
    ("url", "host", "port", "plain"),
    [
        ("http://10.0.0.1:8080", "10.0.0.1", 8080, True),
        ("http://localhost", "localhost", 80, True),
        ("https://vpn.example.com/", "vpn.example.com", 443, False),
        ("https://[fd00::1]:8443", "fd00::1", 8443, False),
    ],
)
def test_the_parts_of_the_address(tmp_path: Path, url: str, host: str, port: int, plain: bool) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"server_url: '{url}'\ndns: {{magic_dns: false, override_local_dns: false}}\n")
    settings, _ = load_settings(path, {})
    assert (settings.server_host, settings.server_port, settings.plain_http) == (host, port, plain)
