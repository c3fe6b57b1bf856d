"""registry: routing, duplicates of a key, and who is told that a node left."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from derp import frames
from derp.frames import PeerGoneReason
from derp.registry import Client, Registry

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


@dataclass(eq=False)
class FakePeer:
    """Remembers what it was given."""

    delivered: list[tuple[bytes, bool]] = field(default_factory=list)
    notified: list[bytes] = field(default_factory=list)

    def deliver(self, frame: bytes, *, disco: bool) -> None:
        self.delivered.append((frame, disco))

    def notify(self, frame: bytes) -> None:
        self.notified.append(frame)


def send(registry: Registry[FakePeer], source: Client[FakePeer], to: bytes, packet: bytes = b"hi") -> bool:
    return registry.route(source, to, memoryview(packet), disco=False)


def test_a_packet_reaches_its_destination() -> None:
    registry: Registry[FakePeer] = Registry()
    a, b = FakePeer(), FakePeer()
    source = registry.join(A, a)
    registry.join(B, b)
    assert registry.route(source, B, memoryview(b"hi"), disco=True)
    assert b.delivered == [(frames.recv_packet(A, b"hi"), True)]
    assert a.delivered == []


def test_an_unknown_destination_is_said() -> None:
    registry: Registry[FakePeer] = Registry()
    assert not send(registry, registry.join(A, FakePeer()), B)


def test_those_who_heard_from_a_node_learn_that_it_left() -> None:
    registry: Registry[FakePeer] = Registry()
    a, b, c = FakePeer(), FakePeer(), FakePeer()
    source = registry.join(A, a)
    registry.join(B, b)
    registry.join(C, c)
    send(registry, source, B)
    assert registry.leave(source, a) == 1
    assert b.notified == [frames.peer_gone(A, PeerGoneReason.DISCONNECTED)]
    assert c.notified == []
    assert A not in registry


def test_who_left_and_came_back_is_not_told_of_the_past() -> None:
    registry: Registry[FakePeer] = Registry()
    a, b, again = FakePeer(), FakePeer(), FakePeer()
    source, target = registry.join(A, a), registry.join(B, b)
    send(registry, source, B)
    registry.leave(target, b)
    registry.join(B, again)
    registry.leave(source, a)
    assert again.notified == []


def test_the_newest_connection_of_a_key_is_active_until_another_writes() -> None:
    registry: Registry[FakePeer] = Registry()
    source = registry.join(A, FakePeer())
    old, new = FakePeer(), FakePeer()
    target = registry.join(B, old)
    assert registry.join(B, new) is target
    send(registry, source, B)
    registry.note_activity(target, old)
    send(registry, source, B)
    assert (len(old.delivered), len(new.delivered)) == (1, 1)
    assert registry.connections(B) == (new, old)
    assert len(registry) == 2


def test_when_the_active_one_leaves_the_next_takes_over_and_nobody_is_told() -> None:
    registry: Registry[FakePeer] = Registry()
    a, old, new = FakePeer(), FakePeer(), FakePeer()
    source = registry.join(A, a)
    target = registry.join(B, old)
    registry.join(B, new)
    registry.route(target, A, memoryview(b"x"), disco=False)
    assert registry.leave(target, new) == 0
    assert a.notified == []
    send(registry, source, B)
    assert len(old.delivered) == 1
    assert registry.leave(target, old) == 1
    assert registry.connections(B) == ()


def test_all_connections_of_a_receiver_are_told() -> None:
    registry: Registry[FakePeer] = Registry()
    a, one, two = FakePeer(), FakePeer(), FakePeer()
    source = registry.join(A, a)
    registry.join(B, one)
    registry.join(B, two)
    send(registry, source, B)
    assert registry.leave(source, a) == 2
    assert len(one.notified) == len(two.notified) == 1


def test_a_node_may_write_to_itself() -> None:
    registry: Registry[FakePeer] = Registry()
    a = FakePeer()
    source = registry.join(A, a)
    assert send(registry, source, A)
    assert registry.leave(source, a) == 0


class Comings(RuleBasedStateMachine):
    """Any order of joining, leaving and sending keeps the registry's two-way books straight."""

    def __init__(self) -> None:
        super().__init__()
        self.registry: Registry[FakePeer] = Registry()
        self.here: list[tuple[Client[FakePeer], FakePeer]] = []

    @rule(key=st.sampled_from([A, B, C]))
    def join(self, key: bytes) -> None:
        peer = FakePeer()
        self.here.append((self.registry.join(key, peer), peer))

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client, peer = self.here.pop(data.draw(st.integers(0, len(self.here) - 1)))
        self.registry.leave(client, peer)
        assert peer not in client.connections

    @precondition(lambda self: self.here)
    @rule(data=st.data(), to=st.sampled_from([A, B, C]))
    def send(self, data: st.DataObject, to: bytes) -> None:
        client, peer = data.draw(st.sampled_from(self.here))
        self.registry.note_activity(client, peer)
        assert send(self.registry, client, to) == (to in self.registry)

    @invariant()
    def books_agree(self) -> None:
        clients = {client for client, _ in self.here}
        assert len(self.registry) == len(clients)
        for client in clients:
            assert client.receivers <= clients
            assert all(client in receiver.senders for receiver in client.receivers)
            assert all(client in sender.receivers for sender in client.senders)


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
