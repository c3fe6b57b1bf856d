"""Reading what `wg` and `ip` print."""

import pytest

from coordinator.gateway.seen import (
    ALIAS,
    Link,
    NotUnderstoodError,
    Peer,
    read_links,
    read_routes,
    read_wireguard,
)
from tests.coordinator.gateway.builders import key

DUMP = "\n".join(
    [
        f"{key(1)}\t{key(2)}\t51820\toff",
        f"{key(3)}\t{key(4)}\t192.0.2.1:5000\t10.99.0.3/32,fd00::3/128\t1770000000\t17\t18\t25",
        f"{key(5)}\t(none)\t(none)\t(none)\t0\t0\t0\toff",
    ]
)


def test_a_dump() -> None:
    seen = read_wireguard(DUMP)
    assert (seen.public_key, seen.listen_port) == (key(2), 51820)
    assert seen.peers[key(5)] == Peer()
    assert seen.peers[key(3)] == Peer(
        preshared_key=key(4),
        endpoint="192.0.2.1:5000",
        allowed_ips=frozenset({"10.99.0.3/32", "fd00::3/128"}),
        latest_handshake=1770000000,
        received=17,
        sent=18,
        keepalive=25,
    )
    assert key(1) not in repr(seen)
    assert key(4) not in repr(seen)


@pytest.mark.parametrize("dump", ["", "x", DUMP + "\nbroken", DUMP.replace("51820", "many")])
def test_another_form_is_an_error_without_keys(dump: str) -> None:
    with pytest.raises(NotUnderstoodError) as caught:
        read_wireguard(dump)
    assert key(1) not in str(caught.value)


def test_links() -> None:
    text = (
        f'[{{}},{{"ifname":"wg0","ifalias":"{ALIAS}","flags":["NOARP","UP"],"mtu":1420,"addr_info":['
        '{"family":"inet","local":"10.99.0.1","prefixlen":24,"scope":"global"},'
        '{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},'
        '{"ifname":"eth0","flags":[],"mtu":1500}]'
    )
    assert read_links(text) == {
        "wg0": Link(ours=True, up=True, mtu=1420, addresses=frozenset({"10.99.0.1/24"})),
        "eth0": Link(ours=False, up=False, mtu=1500, addresses=frozenset()),
    }


def test_routes() -> None:
    text = (
        '[{"dst":"10.99.0.0/24","dev":"wg0"},{"dst":"10.99.0.7","dev":"wg1"},{"dst":"fd00::7","dev":"wg1"}]'
    )
    assert read_routes(text) == {("10.99.0.0/24", "wg0"), ("10.99.0.7/32", "wg1"), ("fd00::7/128", "wg1")}
    assert read_routes("") == set()


def test_what_is_no_json() -> None:
    with pytest.raises(NotUnderstoodError, match="ip -json route show"):
        read_routes("Usage: ip route")
