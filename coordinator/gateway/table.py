"""The packet rules in force: puts them there in one step, and notices when somebody else changes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from coordinator.gateway.commands import CommandError
from coordinator.gateway.generation import generation
from coordinator.gateway.listing import fingerprint, read_counters
from coordinator.gateway.rules import TABLE, Counters, Table, changes, whole

Runner = Callable[[tuple[str, ...], str], Awaitable[str]]

# Somebody else's transactions between ours and the look at the result; docker, for one, makes many.
_TRIES = 3
_MISSING = "No such file or directory"


class RuleTable:
    """Our table in the kernel.

    Args:
        run: a command with its standard input; returns its output, raises `CommandError`.
        count: the kernel's number of transactions, None when it does not say.
    """

    def __init__(self, run: Runner, count: Callable[[], int | None] = generation) -> None:
        self._run = run
        self._count = count
        self._table: Table | None = None
        self._counters: dict[str, tuple[int, int]] = {}
        # The transaction after which the table was certainly ours, and what it looked like then.
        self._generation: int | None = None
        self._fingerprint: int | None = None

    @property
    def untouched(self) -> bool:
        """Whether nobody committed anything since ours."""
        return self._count() == self._generation

    async def exists(self) -> bool:
        """Whether there are any rules of ours, be they old ones."""
        try:
            return await self._listed() is not None
        except CommandError:
            return False

    def forget(self) -> None:
        """Make the whole table again next time: timeouts were counted with a wrong clock."""
        self._table = None

    async def settle(self, wanted: Table, now: datetime) -> bool:
        """Make the kernel's rules the wanted ones.

        Returns:
            Whether somebody else had changed them.
        Raises:
            CommandError: nft refused; the rules are then as they were.
        """
        if self._table is None:
            await self._make(wanted, now)
            return False
        if await self._was_altered(wanted, now):
            return True
        text = changes(self._table, wanted, now)
        if not text:
            return False
        before = self._generation
        try:
            await self._run(("nft", "-f", "-"), text)
        except CommandError:
            # A difference needs the table to be what we think it is; the whole does not.
            await self._make(wanted, now)
            return False
        self._table = wanted
        after = self._count()
        if before is not None and after == before + 1:
            self._generation, self._fingerprint = after, None
        return False

    async def counters(self) -> Counters:
        """(packets, bytes) of the named counters, by their names.

        Raises:
            CommandError: nft refused.
        """
        try:
            text = await self._run(("nft", "-j", "list", "counters", "table", *TABLE.split()), "")
        except CommandError as error:
            if _MISSING not in str(error):
                raise
        else:
            self._counters = read_counters(text)
        return self._counters

    async def _was_altered(self, wanted: Table, now: datetime) -> bool:
        """Look, unless nobody committed anything since; and put things right."""
        count = self._count()
        if count is not None and count == self._generation:
            return False
        there = await self._listed()
        if self._fingerprint is None:
            # Ours after some difference; what that looks like shows when it is made again.
            assert self._table is not None
            await self._make(self._table, now)
            return there != self._fingerprint and await self._make(wanted, now)
        if there == self._fingerprint:
            self._generation = count
            return False
        return await self._make(wanted, now)

    async def _make(self, wanted: Table, now: datetime) -> bool:
        for _ in range(_TRIES):
            before = self._count()
            text = whole(wanted, await self.counters(), now)
            self._table = None
            await self._run(("nft", "-f", "-"), text)
            self._table = wanted
            after = self._count()
            self._fingerprint = await self._listed()
            self._generation = self._count()
            if before is None or after is None or before + 1 == after == self._generation:
                break
        return True

    async def _listed(self) -> int | None:
        try:
            return fingerprint(await self._run(("nft", "-j", "list", "table", *TABLE.split()), ""))
        except CommandError as error:
            if _MISSING not in str(error):
                raise
            return None
