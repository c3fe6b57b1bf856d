"""Names, hosts, addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.settings.names import is_address, plain_http_works, require_domain, require_host


@pytest.mark.parametrize("text", ["a", "tail.lab", "10.in-addr.arpa", "_x.corp.example.com.", "x" * 63])
def test_domains(text: str) -> None:
    assert require_domain(text) == text.strip(".")


@pytest.mark.parametrize(
    "text", ["", "a..b", "a b", "-a", "a-", "x" * 64, "a." * 127 + "a", "*.lab", "ä.lab"]
)
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(ValueError, match="not a domain name"):
        require_domain(text)


def test_hosts() -> None:
    assert require_host("fd00::1") == "fd00::1"
    assert require_host("relay.lab") == "relay.lab"
    with pytest.raises(ValueError, match="neither a host name nor an address"):
        require_host("a b")
    assert not is_address("relay.lab")


@pytest.mark.parametrize(
    ("host", "works"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("100.64.0.1", False),
        ("203.0.113.7", False),
        ("fd00::1", False),
        ("vpn.example.com", False),
    ],
)
def test_where_clients_keep_using_plain_http(host: str, works: bool) -> None:
    assert plain_http_works(host) is works


@given(st.text(max_size=300))
def test_any_text_is_a_domain_or_refused(text: str) -> None:
    try:
        name = require_domain(text)
    except ValueError as error:
        assert str(error)
    else:
        assert name.isascii() and len(name) <= 253
