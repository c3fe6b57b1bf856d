"""The published records follow commits, and nothing else."""

from __future__ import annotations

import pytest

from coordinator.services.wireguard_book import WireGuardBook
from coordinator.tailnet.errors import NotFoundError, UnavailableError
from coordinator.wireguard.model import Seen
from tests.support.tailnets import make_tailnet
from tests.support.wireguard_records import NOW, make_gateway, make_peer, public_key


async def test_what_is_stored_is_there() -> None:
    tailnet, store, _ = make_tailnet()
    book = WireGuardBook(tailnet, {"wgpeer:9": make_peer(9)})
    told: list[int] = []
    book.on_change(lambda: told.append(len(book.peers)))
    tailnet.start()
    await tailnet.execute(lambda directory: directory.put_wireguard(make_gateway()))
    await tailnet.execute(lambda directory: directory.put_wireguard(make_peer(1)))
    assert (set(book.gateways), set(book.peers)) == ({1}, {1, 9})
    store.broken = True
    with pytest.raises(UnavailableError):
        await tailnet.execute(lambda directory: directory.put_wireguard(make_peer(2)))
    store.broken = False
    assert set(book.peers) == {1, 9}
    seen = Seen(peer_id=1, public_key=public_key(1))
    await tailnet.execute(lambda directory: directory.put_wireguard(seen, noteworthy=False))
    assert book.seen == {public_key(1): seen}
    # A peer and a gateway with the same number are two things.
    await tailnet.execute(lambda directory: directory.delete_wireguard("wgpeer:1"))
    await tailnet.execute(lambda directory: directory.delete_wireguard(seen.key, noteworthy=False))
    assert (set(book.gateways), set(book.peers), book.seen) == ({1}, {9}, {})
    assert told == [1, 2, 1]
    await tailnet.close()


def test_finding() -> None:
    tailnet, _, _ = make_tailnet()
    over = make_peer(2, name="twin").ended(NOW, "x", "revoked")
    records = [make_gateway(), over, make_peer(3, name="twin")]
    book = WireGuardBook(tailnet, {record.key: record for record in records})
    assert book.gateway("gw1").id == book.gateway("1").id == 1
    assert book.peer("twin").id == 3
    assert book.peer("2") == over
    assert book.peer(public_key(3)).id == 3
    with pytest.raises(NotFoundError, match="there are: gw1"):
        book.gateway("x")
    with pytest.raises(NotFoundError, match="`x` does not exist"):
        book.peer("x")
