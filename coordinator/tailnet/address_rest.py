"""Addresses of ephemeral nodes rest before another node gets them.

Others may still send to an address from a name they looked up, or have it in a log, shortly after its node
vanished. Kept in memory; at a start `services.rest_at_start` says what rested before. No clock and no timer:
time is passed in, what has rested is dropped on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from coordinator.tailnet.addresses import Address


class AddressRest:
    """Which addresses rest, the longest resting first.

    Args:
        rest: How long; zero for not at all.
    """

    def __init__(self, rest: timedelta) -> None:
        self._rest = rest
        self._since: dict[Address, datetime] = {}

    def __len__(self) -> int:
        return len(self._since)

    def release(self, addresses: Iterable[Address], now: datetime) -> None:
        """These addresses begin to rest."""
        self.prune(now)
        if not self._rest:
            return
        for address in addresses:
            # Removed first, so that the order stays the order of time.
            self._since.pop(address, None)
            self._since[address] = now

    def resting(self, address: Address, now: datetime) -> bool:
        """Whether an address must not be given yet."""
        since = self._since.get(address)
        return since is not None and since + self._rest > now

    def longest(self) -> list[Address]:
        """All resting addresses, the one that rests longest first."""
        return list(self._since)

    def prune(self, now: datetime) -> None:
        """Forget what has rested."""
        while self._since:
            address, since = next(iter(self._since.items()))
            if since + self._rest > now:
                return
            del self._since[address]
