"""What waits to be written to one connection: bounded, in three lanes, dropping the oldest.

A full queue is normal (a slow reader behind a fast sender) and never an error: the tunnelled protocols repeat
what matters. The queue says what it dropped and `connection` counts it. No I/O.
"""

from collections import deque
from enum import Enum

from derp.limits import Limits

__all__ = ["DropReason", "SendQueue"]


class DropReason(Enum):
    """Why a frame was not delivered. The values are label values of the metric."""

    QUEUE_FULL = "queue_full"
    DISCO_QUEUE_FULL = "disco_queue_full"
    CONTROL_QUEUE_FULL = "control_queue_full"
    UNKNOWN_DESTINATION = "unknown_destination"
    DISCONNECTED = "disconnected"


class SendQueue:
    """Encoded frames on their way to one connection. Order is kept within a lane.

    Control frames (answers to the client itself) go first, then disco (small, and it is what gets traffic off
    the relay), then everything else. The bounds keep a lane from starving the next: one filling goes out in
    one write.
    """

    __slots__ = ("_control", "_control_depth", "_disco", "_disco_depth", "_packets", "_packets_depth")

    def __init__(self, limits: Limits) -> None:
        self._control: deque[bytes] = deque()
        self._disco: deque[bytes] = deque()
        self._packets: deque[bytes] = deque()
        self._control_depth = limits.control_queue_depth
        self._disco_depth = limits.disco_queue_depth
        self._packets_depth = limits.queue_depth

    def __len__(self) -> int:
        return len(self._control) + len(self._disco) + len(self._packets)

    def is_full(self, *, disco: bool) -> bool:
        """Whether the next packet of this kind pushes out the oldest."""
        if disco:
            return len(self._disco) >= self._disco_depth
        return len(self._packets) >= self._packets_depth

    def put_packet(self, frame: bytes, *, disco: bool) -> DropReason | None:
        """Add a RecvPacket frame. Returns why the oldest of its lane had to go, if it had to."""
        if disco:
            return _put(self._disco, frame, self._disco_depth, DropReason.DISCO_QUEUE_FULL)
        return _put(self._packets, frame, self._packets_depth, DropReason.QUEUE_FULL)

    def put_control(self, frame: bytes) -> DropReason | None:
        """Add a frame of our own. Returns why the oldest had to go, if it had to."""
        return _put(self._control, frame, self._control_depth, DropReason.CONTROL_QUEUE_FULL)

    def take(self, room: int) -> list[bytes]:
        """Remove the frames to write next: as many as fit in `room` bytes, and at least one if there is
        one."""
        taken: list[bytes] = []
        for lane in (self._control, self._disco, self._packets):
            while lane:
                room -= len(lane[0])
                if room < 0 and taken:
                    return taken
                taken.append(lane.popleft())
        return taken

    def clear(self) -> int:
        """Drop everything. Returns how many packets (not control frames) that were."""
        lost = len(self._disco) + len(self._packets)
        for lane in (self._control, self._disco, self._packets):
            lane.clear()
        return lost


def _put(lane: deque[bytes], frame: bytes, depth: int, reason: DropReason) -> DropReason | None:
    dropped = None
    if len(lane) >= depth:
        lane.popleft()
        dropped = reason
    lane.append(frame)
    return dropped
