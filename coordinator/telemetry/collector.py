"""Keeps Python's cycle collector from holding up every client.

A full collection looks at every object there is: with 2,000 clients that is a third of a second in which
nobody is answered. Nearly all of them are long-lived, and what ends is freed by its reference count alone
(tests watch that connections leave no cycles behind). So what has survived for some seconds is set aside,
where the collector does not look; the young are collected as always.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import structlog

log = structlog.get_logger(__name__)

INTERVAL = 5.0
"""Seconds between settings aside; in between the oldest generation grows uncollected."""
NEVER = 1 << 30
SUSPICIOUS = 10_000_000
"""Allocated blocks beyond twice those after the last full collection that mean something does leave cycles:
then one long collection is better than growing without end. 5,000 clients come to four million."""


class Collector:
    """Replaces automatic full collections, for a server process."""

    def __init__(self) -> None:
        self._after_last = 0

    def begin(self) -> None:
        """Collect once, set everything aside, and leave full collections to `settle`."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)
        self._full()

    def settle(self) -> None:
        """Collect the young, and set aside what is left."""
        gc.collect(1)
        gc.freeze()
        # Not gc.get_freeze_count(), which walks over every object.
        blocks = sys.getallocatedblocks()
        if blocks > 2 * self._after_last + SUSPICIOUS:
            log.warning("full garbage collection", blocks=blocks)
            gc.unfreeze()
            self._full()

    async def run(self) -> None:
        """Settle now and then, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.settle()

    def _full(self) -> None:
        gc.collect()
        gc.freeze()
        self._after_last = sys.getallocatedblocks()
