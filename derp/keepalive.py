"""One timer for the KeepAlive frames of all connections.

A wheel of slots, one of which is due at a time. A timer per connection would cost ten thousand timers, and
after a restart they would all fire together; here a newcomer gets a random slot. `server.Relay` runs the
wheel.
"""

import asyncio
import random
from typing import Protocol

__all__ = ["KeepAliveWheel"]

_SLOTS = 60


class Beating(Protocol):
    """What the wheel needs of a connection."""

    def beat(self) -> None:
        """Called once per interval. Must not block or raise."""


class KeepAliveWheel:
    """Calls `beat` of each member once every `interval` seconds, each at its own moment."""

    def __init__(self, interval: float) -> None:
        self._tick = interval / _SLOTS
        self._slots: tuple[set[Beating], ...] = tuple(set() for _ in range(_SLOTS))
        self._slot_of: dict[Beating, set[Beating]] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, member: Beating) -> None:
        """Begin to call the member; its first turn comes within one interval."""
        slot = self._slot_of[member] = random.choice(self._slots)
        slot.add(member)

    def remove(self, member: Beating) -> None:
        """Never call it again. Unknown members are fine."""
        slot = self._slot_of.pop(member, None)
        if slot is not None:
            slot.discard(member)

    async def run(self) -> None:
        """Turn until cancelled. A late turn is not made up for: the slots only shift."""
        while True:
            for slot in self._slots:
                await asyncio.sleep(self._tick)
                for member in tuple(slot):
                    member.beat()
