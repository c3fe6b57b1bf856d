"""The writer's view of plain WireGuard: every record, indexed by key, address and name, with undo.

Part of the `Directory`; commands read it to see that a key, a name or an address is free. What has ended does
not hold its name or its key, but its addresses rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from coordinator.tailnet.errors import NotFoundError
from coordinator.wireguard.model import EnrolmentToken, Gateway, Peer, Record, Seen

Undo = Callable[[], None]


class WireGuardRecords:
    """Gateways, peers, tokens and what was seen, by storage key."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records: dict[str, Record] = {}
        self._by_key: dict[str, str] = {}
        self._by_address: dict[str, str] = {}
        self._by_name: dict[tuple[str, str], str] = {}
        self._freed: dict[str, datetime] = {}
        for record in records.values():
            self._set(record)

    # reading

    def get(self, key: str) -> Record | None:
        """A record by its storage key."""
        return self._records.get(key)

    def gateway(self, gateway_id: int) -> Gateway:
        """A gateway by id; NotFoundError when there is none."""
        found = self._records.get(f"wggateway:{gateway_id}")
        if not isinstance(found, Gateway):
            raise NotFoundError(
                f"WireGuard gateway {gateway_id} does not exist; `wireguard gateways list` shows them"
            )
        return found

    def peer(self, peer_id: int) -> Peer:
        """A peer by id, living or not; NotFoundError when there is none."""
        found = self._records.get(f"wgpeer:{peer_id}")
        if not isinstance(found, Peer):
            raise NotFoundError(f"WireGuard peer {peer_id} does not exist; `wireguard peers list` shows them")
        return found

    def token(self, token_id: int) -> EnrolmentToken:
        """An enrolment token by id; NotFoundError when there is none."""
        found = self._records.get(f"wgtoken:{token_id}")
        if not isinstance(found, EnrolmentToken):
            raise NotFoundError(
                f"enrolment token {token_id} does not exist; `wireguard tokens list` shows them"
            )
        return found

    def gateways(self) -> Iterator[Gateway]:
        """All gateways."""
        return (record for record in self._records.values() if isinstance(record, Gateway))

    def peers(self) -> Iterator[Peer]:
        """All peers, ended ones included."""
        return (record for record in self._records.values() if isinstance(record, Peer))

    def seen(self) -> Iterator[Seen]:
        """What was seen of keys."""
        return (record for record in self._records.values() if isinstance(record, Seen))

    def holder_of_key(self, public_key: str) -> Gateway | Peer | None:
        """Who uses a public key now."""
        found = self._records.get(self._by_key.get(public_key, ""))
        return found if isinstance(found, Gateway | Peer) else None

    def named(self, kind: str, name: str) -> Record | None:
        """The gateway (`wggateway`) or living peer (`wgpeer`) of a name."""
        return self._records.get(self._by_name.get((kind, name), ""))

    def address_taken(self, address: str) -> bool:
        """Whether a gateway or a living peer has an address."""
        return address in self._by_address

    def resting(self, address: str, now: datetime, rest: timedelta) -> bool:
        """Whether an address was freed less than `rest` ago."""
        freed = self._freed.get(address)
        return freed is not None and now < freed + rest

    # changing, by the directory

    def put(self, record: Record) -> Undo:
        """Add or replace a record; returns what takes it back."""
        before = self._records.get(record.key)
        freed = dict.fromkeys(getattr(record, "addresses", ()))
        freed_before = {address: self._freed.get(address) for address in freed}
        if before is not None:
            self._unset(before)
        self._set(record)

        def undo() -> None:
            self._unset(record)
            if before is not None:
                self._set(before)
            for address, at in freed_before.items():
                if at is None:
                    self._freed.pop(address, None)
                else:
                    self._freed[address] = at

        return undo

    def delete(self, key: str) -> Undo:
        """Remove a record that is there; returns what takes it back."""
        record = self._records[key]
        self._unset(record)
        return lambda: self._set(record)

    def absorb(self, puts: Iterable[Record], deletes: Iterable[str]) -> None:
        """Take over what another instance has committed."""
        puts = list(puts)
        # Records may have exchanged names, keys or addresses: what was goes first.
        for key in [*deletes, *(record.key for record in puts)]:
            if (former := self._records.get(key)) is not None:
                self._unset(former)
        for record in puts:
            self._set(record)

    # inner

    def _set(self, record: Record) -> None:
        self._records[record.key] = record
        if isinstance(record, Gateway):
            self._by_name["wggateway", record.name] = record.key
            self._by_key |= {key.public_key: record.key for key in record.keys if key.public_key}
            self._by_address |= dict.fromkeys(record.addresses, record.key)
        elif isinstance(record, Peer) and record.ended_at is None:
            self._by_name["wgpeer", record.name] = record.key
            self._by_key |= {key.public_key: record.key for key in record.keys}
            self._by_address |= dict.fromkeys(record.addresses, record.key)
        elif isinstance(record, Peer) and record.ended_at is not None:
            for address in record.addresses:
                self._freed[address] = max(self._freed.get(address, record.ended_at), record.ended_at)

    def _unset(self, record: Record) -> None:
        del self._records[record.key]
        if isinstance(record, Gateway) or (isinstance(record, Peer) and record.live):
            kind = "wggateway" if isinstance(record, Gateway) else "wgpeer"
            self._by_name.pop((kind, record.name), None)
            for key in record.keys:
                self._by_key.pop(key.public_key, None)
            for address in record.addresses:
                self._by_address.pop(address, None)
