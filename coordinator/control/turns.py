"""One costly step in each round of the event loop.

When two thousand clients come back at once, all their full maps would be built in one round, and nothing else
would happen meanwhile. Whoever takes a turn first waits until no other step was taken in this round.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """First come, first served; free when nobody waits."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self) -> None:
        """Return when it is the caller's turn; the step itself must not await."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next_round, loop)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._next_round, loop)
                return
        self._taken = False
