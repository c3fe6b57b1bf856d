"""send_queue: order, bounds, and what is dropped."""

from hypothesis import given, settings
from hypothesis import strategies as st

from derp.limits import Limits
from derp.send_queue import DropReason, SendQueue

LIMITS = Limits(queue_depth=3, disco_queue_depth=2, control_queue_depth=2)


def test_control_then_disco_then_the_rest() -> None:
    queue = SendQueue(LIMITS)
    queue.put_packet(b"data", disco=False)
    queue.put_packet(b"disco", disco=True)
    queue.put_control(b"pong")
    assert queue.take(1000) == [b"pong", b"disco", b"data"]
    assert not queue


def test_a_full_lane_drops_its_oldest_and_says_why() -> None:
    queue = SendQueue(LIMITS)
    assert [queue.put_packet(b"p%d" % n, disco=False) for n in range(4)] == [
        None,
        None,
        None,
        DropReason.QUEUE_FULL,
    ]
    assert [queue.put_packet(b"d%d" % n, disco=True) for n in range(3)][-1] is DropReason.DISCO_QUEUE_FULL
    assert [queue.put_control(b"c%d" % n) for n in range(3)][-1] is DropReason.CONTROL_QUEUE_FULL
    assert queue.take(1000) == [b"c1", b"c2", b"d1", b"d2", b"p1", b"p2", b"p3"]


def test_full_is_said_before_anything_is_lost() -> None:
    queue = SendQueue(LIMITS)
    for _ in range(2):
        queue.put_packet(b"x", disco=True)
        queue.put_packet(b"x", disco=False)
    assert queue.is_full(disco=True)
    assert not queue.is_full(disco=False)


def test_room_is_respected_but_one_frame_always_goes() -> None:
    queue = SendQueue(LIMITS)
    for frame in (b"12345", b"123", b"1"):
        queue.put_packet(frame, disco=False)
    assert queue.take(8) == [b"12345", b"123"]
    queue.put_packet(b"12345", disco=False)
    assert queue.take(-5) == [b"1"]
    assert queue.take(2) == [b"12345"]
    assert queue.take(2) == []


def test_clear_counts_packets_only() -> None:
    queue = SendQueue(LIMITS)
    queue.put_control(b"c")
    queue.put_packet(b"p", disco=False)
    queue.put_packet(b"d", disco=True)
    assert queue.clear() == 2
    assert len(queue) == 0


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9)), max_size=30), st.integers(-3, 40)
)
def test_nothing_is_lost_uncounted(puts: list[tuple[bool, bytes]], room: int) -> None:
    queue = SendQueue(LIMITS)
    dropped = sum(queue.put_packet(frame, disco=disco) is not None for disco, frame in puts)
    taken = []
    while queue:
        batch = queue.take(room)
        assert len(batch) == 1 or sum(map(len, batch)) <= room
        taken += batch
    assert len(taken) + dropped == len(puts)
