"""What a gateway may be dialled by."""

from __future__ import annotations

import pytest

from coordinator.wireguard.hosts import HostError, parse_host


@pytest.mark.parametrize(
    "text", ["vpn.example.com", "vpn", "3com.example", "a_b.example", "192.0.2.7", "fd77::12", "x" * 63]
)
def test_names_and_addresses(text: str) -> None:
    assert parse_host(text) == text


@pytest.mark.parametrize(
    "text",
    (
        *(
            "",
            "a b",
            "a\nb",
            "a..b",
            "a.b.",
            "-a",
            "a-",
            "x" * 64,
            "a." * 127 + "ab",
            "https://a",
            "vpñ.example",
        ),
        *("vpn.example.com:51820", "192.0.2.7:51820", "[fd77::12]", ":::", "999.1.1.1", "1.2.3"),
        *("fe80::1%eth0", "::ffff:192.0.2.7", "0.0.0.0", "::", "224.0.0.1"),
    ),
)
def test_what_cannot_be_dialled(text: str) -> None:
    with pytest.raises(HostError):
        parse_host(text)
