"""Relays and DNS records that change while the server runs: watched files, and DERP maps fetched again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from coordinator.netmap.config import MapConfig
from coordinator.services.relay_maps import RelayMaps
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.derp_map import DERPRegion
from coordinator.tailnet.errors import CoordinatorError
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

WATCH_INTERVAL = 0.5
RETRY_SECONDS = 60.0
"""Until the first fetch has succeeded."""

_Identity = tuple[int, int, int] | None


class LiveConfig:
    """Keeps what every map carries in line with where it comes from.

    Args:
        make: The configuration of now, from files and from relays that were fetched; CoordinatorError or
            OSError when something is wrong with a file.
        watched: Files that `make` reads.
        maps: Relays from the network.
        every: How often to fetch them again; None: once is enough.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        make: Callable[[Sequence[DERPRegion]], MapConfig],
        *,
        watched: Sequence[Path],
        maps: RelayMaps,
        every: timedelta | None,
    ) -> None:
        self._tailnet = tailnet
        self._make = make
        self._maps = maps
        self._every = every
        self._seen = {path: _identity(path) for path in watched}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, fetched: bool) -> None:
        """Start watching; `fetched` says whether the maps are those of now."""
        if self._seen:
            self._tasks.append(spawn("watched configuration", self._watch()))
        if not fetched or self._every is not None:
            self._tasks.append(spawn("DERP maps", self._fetch_again(fetched)))

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self) -> None:
        """Take over what changed in the files, once."""
        identities = {path: _identity(path) for path in self._seen}
        if identities == self._seen or None in identities.values():
            # A file that is being replaced is not there for a moment.
            return
        self._seen = identities
        self.take_over()

    def take_over(self) -> None:
        """Make the configuration anew, and tell everybody what is different."""
        try:
            config = self._make(self._maps.regions())
            changed = self._tailnet.configure(config)
        except (CoordinatorError, OSError) as error:
            log.error("relays and DNS not reloaded, the former ones stay", error=str(error))
            return
        if changed:
            log.info("relays and DNS reloaded")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            self.look()

    async def _fetch_again(self, fetched: bool) -> None:
        while True:
            if fetched:
                if self._every is None:
                    return
                await asyncio.sleep(self._every.total_seconds())
            whole = await self._maps.fetch()
            self.take_over()
            fetched = fetched or whole
            if not fetched:
                await asyncio.sleep(RETRY_SECONDS)


def _identity(path: Path) -> _Identity:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
