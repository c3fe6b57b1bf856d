"""The published records of plain WireGuard: what everybody but the writer reads.

Follows the commits of the single writer, so that whatever is read here is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.state import ChangeSet
from coordinator.wireguard.model import EnrolmentToken, Gateway, Peer, Record, Seen


class WireGuardBook:
    """All records, by kind.

    Args:
        tailnet: Whose commits are followed.
        records: As loaded at start.
    """

    def __init__(self, tailnet: Tailnet, records: Mapping[str, Record]) -> None:
        self.gateways: dict[int, Gateway] = {}
        self.peers: dict[int, Peer] = {}
        self.tokens: dict[int, EnrolmentToken] = {}
        self.seen: dict[str, Seen] = {}
        """What was stored; the newest is with `WireGuardObservation`."""
        self._listeners: list[Callable[[], None]] = []
        for record in records.values():
            self._put(record)
        tailnet.on_commit(self._take)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that changed a gateway, a peer or a token."""
        self._listeners.append(listener)

    def gateway(self, text: str) -> Gateway:
        """A gateway by id or name; NotFoundError with what there is."""
        for gateway in self.gateways.values():
            if text in (str(gateway.id), gateway.name):
                return gateway
        names = ", ".join(sorted(gateway.name for gateway in self.gateways.values())) or "none so far"
        raise NotFoundError(f"WireGuard gateway `{text[:80]}` does not exist; there are: {names}")

    def peer(self, text: str) -> Peer:
        """A peer by id, or a living one by name or public key; NotFoundError when there is none."""
        for peer in self.peers.values():
            named = peer.live and (text == peer.name or text in [key.public_key for key in peer.keys])
            if named or text == str(peer.id):
                return peer
        raise unknown_peer(text)

    def _take(self, changes: ChangeSet) -> None:
        if not changes.put_wireguard and not changes.delete_wireguard:
            return
        for key in changes.delete_wireguard:
            kind, _, name = key.partition(":")
            if kind == "wgseen":
                self.seen.pop(name, None)
                continue
            for table in (self.gateways, self.peers, self.tokens):
                # Ids of different kinds may be the same number.
                if int(name) in table and table[int(name)].key == key:
                    del table[int(name)]
        for record in changes.put_wireguard.values():
            self._put(record)
        keys = {*changes.put_wireguard, *changes.delete_wireguard}
        if any(not key.startswith("wgseen:") for key in keys):
            for listener in self._listeners:
                listener()

    def _put(self, record: Record) -> None:
        match record:
            case Gateway():
                self.gateways[record.id] = record
            case Peer():
                self.peers[record.id] = record
            case EnrolmentToken():
                self.tokens[record.id] = record
            case Seen():
                self.seen[record.public_key] = record


def unknown_peer(text: str) -> NotFoundError:
    """Said of what is not there, and to others of what is somebody's: no word may tell the two apart."""
    return NotFoundError(
        f"WireGuard peer `{text[:80]}` does not exist; `wireguard peers list` shows those there are"
    )
