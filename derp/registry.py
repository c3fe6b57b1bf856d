"""Who is connected, and where a packet goes: duplicates of one key, and who is told when a node leaves.

Plain dictionaries changed between awaits; no I/O. `connection` joins, leaves and routes; what it needs of a
connection is the `Peer` protocol, so that the tests need no sockets.

Duplicates: a node key may have several connections (a quick reconnect, a cloned machine). All are kept;
packets go to the one that was last heard of, and when it leaves the next takes over.
Source: tailscale derp/derpserver, its policy "last writer is active".
"""

from typing import Generic, Protocol, TypeVar

from derp import frames
from derp.frames import PeerGoneReason

__all__ = ["Client", "Peer", "Registry"]


class Peer(Protocol):
    """A connection as the registry sees it. Neither call may block or raise."""

    def deliver(self, frame: bytes, *, disco: bool) -> None:
        """Queue an encoded RecvPacket frame."""

    def notify(self, frame: bytes) -> None:
        """Queue an encoded frame of our own."""


P = TypeVar("P", bound=Peer)


class Client(Generic[P]):
    """One node key and all its connections. Exists as long as there is at least one.

    `connections` is in order of activity: the last is the active one. `receivers` are the clients that got a
    packet from this one, `senders` those that sent it one: each is the mirror of the other.
    """

    __slots__ = ("connections", "node_key", "receivers", "senders")

    def __init__(self, node_key: bytes) -> None:
        self.node_key = node_key
        self.connections: list[P] = []
        self.receivers: set[Client[P]] = set()
        self.senders: set[Client[P]] = set()


class Registry(Generic[P]):
    """All admitted connections of one relay, by node key (32 bytes)."""

    def __init__(self) -> None:
        self._clients: dict[bytes, Client[P]] = {}

    def __len__(self) -> int:
        """How many different node keys are here."""
        return len(self._clients)

    def __contains__(self, node_key: bytes) -> bool:
        return node_key in self._clients

    def connections(self, node_key: bytes) -> tuple[P, ...]:
        """The connections of a node key, the active one last; empty if there is none."""
        client = self._clients.get(node_key)
        return tuple(client.connections) if client else ()

    def join(self, node_key: bytes, connection: P) -> Client[P]:
        """Add an admitted connection; it becomes the active one of its key."""
        client = self._clients.get(node_key)
        if client is None:
            client = self._clients[node_key] = Client(node_key)
        client.connections.append(connection)
        return client

    def leave(self, client: Client[P], connection: P) -> int:
        """Remove a connection. With the last one of a key, everyone who heard from it is told.

        Returns:
            How many PeerGone frames were sent.
        """
        client.connections.remove(connection)
        if client.connections:
            return 0
        del self._clients[client.node_key]
        told = 0
        frame = frames.peer_gone(client.node_key, PeerGoneReason.DISCONNECTED)
        for receiver in client.receivers:
            receiver.senders.discard(client)
            for other in receiver.connections:
                other.notify(frame)
                told += 1
        # Without this, a node that talks to many short-lived ones would remember each of them for ever.
        for sender in client.senders:
            sender.receivers.discard(client)
        client.receivers.clear()
        client.senders.clear()
        return told

    def note_activity(self, client: Client[P], connection: P) -> None:
        """The client wrote something on this connection: it is the active one from now on."""
        if client.connections[-1] is not connection:
            client.connections.remove(connection)
            client.connections.append(connection)

    def route(self, source: Client[P], destination: bytes, packet: memoryview, *, disco: bool) -> bool:
        """Hand a packet to the active connection of `destination`.

        Returns:
            False if no such key is here.
        """
        target = self._clients.get(destination)
        if target is None:
            return False
        if target not in source.receivers:
            source.receivers.add(target)
            target.senders.add(source)
        target.connections[-1].deliver(frames.recv_packet(source.node_key, packet), disco=disco)
        return True
