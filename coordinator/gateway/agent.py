"""The gateway itself: a few loops around one state.

`ask` waits for the server's wish, `follow` makes this machine what the wish says at this moment, `tell`
reports. `follow` runs when the wish changes, when a window opens or closes, and every other second to see
what somebody else changed; it needs neither of the others, so windows open and close while the server is
away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from coordinator.gateway import clock
from coordinator.gateway.checked import Wrong, checked
from coordinator.gateway.commands import CommandError
from coordinator.gateway.events import Events
from coordinator.gateway.generation import drain, notices
from coordinator.gateway.initiation import Lock
from coordinator.gateway.link import AwayError, Backoff, Link
from coordinator.gateway.machine import Machine, not_forwarding
from coordinator.gateway.plan import Key, Plan, Remark, plan, without_peers
from coordinator.gateway.report import report
from coordinator.gateway.rules import Counters, table_of
from coordinator.gateway.seen import NotUnderstoodError, Seen
from coordinator.gateway.state import State, StateError
from coordinator.gateway.target import Peer, Target, moments, target
from coordinator.wireguard.wire import MAX_WAIT_SECONDS, Wish

log = structlog.get_logger(__name__)

WATCH_S = 2.0
"""How often reality is compared with the wish."""
ROTATION_WATCH_S = 0.5
"""The same while keys are being rotated: a device that changes over waits for its return route."""
_ASK_WHOLE_S = 3600.0
"""How often the whole wish is asked for, changed or not: it carries the server's clock."""
_PAUSE_S = 0.5
_LISTEN_S = 0.25
_COUNT_S = 1.0
_KEEP_ANCHOR_S = 60.0
_JUMP = timedelta(seconds=1)
_MOST_WRONGS = 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_clocks() -> clock.Reading:
    """The machine's clocks now."""
    return clock.Reading(
        wall=datetime.now(UTC),
        boot_seconds=time.clock_gettime(time.CLOCK_BOOTTIME),
        boot_id=_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
    )


class Agent:
    """One gateway.

    Args:
        link: to the server.
        state: what is kept on disk.
        machine: what is changed.
        prefix: before the names of interfaces.
        clocks: for tests.
        agent: name and version of the program.
    """

    def __init__(
        self,
        link: Link,
        state: State,
        machine: Machine,
        *,
        prefix: str = "",
        clocks: Callable[[], clock.Reading] = read_clocks,
        agent: str = "",
    ) -> None:
        self._link, self._state, self._machine, self._ear = link, state, machine, machine.ear
        self._prefix, self._clocks, self._agent = prefix, clocks, agent
        self._anchor = state.anchor()
        self._anchor_kept = self._clocks().boot_seconds
        self._disk = ""
        self._events = Events(state.events(), lambda events: self._kept(lambda: state.keep_events(events)))
        self._follow_now = asyncio.Event()
        self._tell_now = asyncio.Event()
        self._ask_now = asyncio.Event()
        self._wish: Wish | None = None
        self._wrongs: tuple[Wrong, ...] = ()
        self._keys: dict[str, Key] = {}
        self._known: set[str] = set()
        self._applied: dict[tuple[str, str], Peer] = {}
        self._target = Target()
        self._seen = Seen()
        self._in_force = ""
        self._online = False
        self._away_told = ""
        self._counted: Counters = {}
        self._counted_at = -_COUNT_S
        self._clock_told: timedelta | None = None
        self._ask_time = False
        kept = state.wish()
        if kept is not None:
            log.info("going on with the last wish", version=kept.version)
            self._adopt(kept)

    async def run(self) -> None:
        """Until cancelled. What is open stays open then: sessions outlive this program."""
        if deaf := await self._ear.open(self._now):
            self._say([Remark(kind="apply-failed", detail=deaf)], self._now())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="listen")
                for name, loop in (("follow", self._follow), ("ask", self._ask), ("tell", self._tell)):
                    group.create_task(loop(), name=name)
        finally:
            self._ear.close()

    async def once(self) -> bool:
        """Ask, follow and report one time; whether all of it worked."""
        asked = await self._ask_once(wait=0) is None
        followed = await self.settle()
        told = await self._tell_once() is None
        return asked and followed and told

    # ---- asking -------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        backoff, whole_at = Backoff(), 0.0
        while True:
            started = time.monotonic()
            before = self._wish.version if self._wish is not None else ""
            if started >= whole_at:
                error = await self._ask_once(wait=0)
                if error is None:
                    whole_at = started + _ASK_WHOLE_S
            else:
                error = await self._ask_once(wait=MAX_WAIT_SECONDS)
            if error is None:
                backoff.reset()
                # A server or proxy that answers at once with nothing new must not be asked in a storm.
                pause = 0.0 if self._wish is not None and self._wish.version != before else _PAUSE_S
                await asyncio.sleep(max(0.0, pause - (time.monotonic() - started)))
                continue
            self._ask_now.clear()
            await _wait(self._ask_now, backoff.wait())

    async def _ask_once(self, *, wait: int) -> AwayError | None:
        have = self._wish.version if self._wish is not None and wait else ""
        sent = self._clocks()
        try:
            wish = await self._link.wish(have, wait)
        except AwayError as error:
            self._contact(error)
            return error
        self._contact(None)
        if wish is not None:
            self._set_clock(wish.now, sent if wait == 0 else None)
            if self._wish is None or wish.version != self._wish.version:
                log.info("new wish", version=wish.version)
                self._adopt(wish)
                self._kept(lambda: self._state.keep_wish(wish))
            self._follow_now.set()
        return None

    def _contact(self, error: AwayError | None) -> None:
        reason = "" if error is None else str(error)
        if error is None and not self._online:
            log.info("in contact with the server")
        elif reason != self._away_told:
            log.warning("the server is away; windows go by the own clock", reason=reason)
        self._online, self._away_told = error is None, reason

    def _set_clock(self, server: datetime, sent: clock.Reading | None) -> None:
        """Remember the server's time, which it took half way between question and answer."""
        reading = self._clocks()
        travel = (reading.boot_seconds - sent.boot_seconds) / 2 if sent is not None else 0.0
        anchor = clock.Anchor(
            server=server + timedelta(seconds=travel),
            wall=reading.wall,
            boot_seconds=reading.boot_seconds,
            boot_id=reading.boot_id,
        )
        before = clock.time_at(reading, self._anchor)
        if abs(before.latest - anchor.server) > _JUMP:
            self._machine.rules.forget()
        self._anchor = anchor
        self._keep_anchor(reading)

    def _keep_anchor(self, reading: clock.Reading) -> None:
        if self._anchor is not None:
            moved = clock.moved(self._anchor, reading)
            self._kept(lambda: self._state.keep_anchor(moved))
            self._anchor_kept = reading.boot_seconds

    def _kept(self, write: Callable[[], object]) -> None:
        """Write to the disk; a full one is reported and keeps no window from closing."""
        try:
            write()
        except StateError as error:
            if str(error) != self._disk:
                log.error("state cannot be kept", error=str(error))
            self._disk = str(error)
        else:
            self._disk = ""

    def _adopt(self, wish: Wish) -> None:
        """Make a wish the one to follow."""
        clean, self._wrongs = checked(wish, prefix=self._prefix)
        if wish.interfaces:
            self._kept(
                lambda: self._state.keep_only_keys({interface.key_id for interface in wish.interfaces})
            )
        self._keys, locks = {}, {}
        for interface in clean.interfaces:
            try:
                self._keys[interface.key_id] = self._state.key(interface.key_id)
                lock = Lock(self._state.private_key(interface.key_id))
                locks[interface.listen_port] = (interface.name, lock)
            except StateError as error:
                self._wrongs = (Wrong(detail=str(error)), *self._wrongs)
        before = {peer.public_key for peer in self._wish.peers} if self._wish is not None else set()
        self._known = before | {peer.public_key for peer in clean.peers}
        self._ear.knocks.expect(locks, self._known)
        self._wish = clean

    # ---- following ----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            self._follow_now.clear()
            try:
                await self.settle()
            except Exception as error:
                # The outermost frame: whatever it was, windows have to be closed in time.
                log.error("following the wish failed", exc_info=error)
            await _wait(self._follow_now, self._until_next())

    async def _listen(self) -> None:
        """Look at once when somebody changes rules: for as long as they are gone, nothing is refused."""
        channel = notices()
        if channel is None:
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.TimerHandle | None = None
        next_look = 0.0

        def look() -> None:
            nonlocal waiting, next_look
            waiting, next_look = None, loop.time() + _LISTEN_S
            if not self._machine.rules.untouched:
                self._follow_now.set()

        def noticed() -> None:
            nonlocal waiting
            drain(channel)
            # Some firewalls commit all the time: the first is looked at now, the next ones a moment later.
            if waiting is None:
                waiting = loop.call_at(max(next_look, loop.time()), look)

        loop.add_reader(channel, noticed)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(channel)
            channel.close()
            if waiting is not None:
                waiting.cancel()

    def _until_next(self) -> float:
        watch = ROTATION_WATCH_S if self._target.overlapping else WATCH_S
        if self._wish is None:
            return watch
        now = clock.time_at(self._clocks(), self._anchor)
        change = now.next_change(moments(self._wish))
        return watch if change is None else min(watch, change)

    async def settle(self) -> bool:
        """Compare once and put right what differs; whether everything is as wished."""
        if self._wish is None:
            return False
        reading = self._clocks()
        now = clock.time_at(reading, self._anchor)
        wish = self._wish
        remarks = self._clock_remarks(reading)
        failures: list[str] = []
        try:
            seen = await self._machine.look([interface.name for interface in wish.interfaces])
            wanted = target(wish, now, seen.wireguard)
            failures = await self._apply(wanted, seen, now, remarks)
            remarks += self._closed_alone(wish, wanted, now)
            self._finish(wanted, seen, failures)
        except (CommandError, NotUnderstoodError) as error:
            failures.append(str(error))
        remarks += [Remark(kind="apply-failed", detail=failure) for failure in failures]
        remarks += self._standing_remarks(wish)
        self._say(remarks, now.latest)
        if not failures and self._in_force != wish.version:
            self._in_force = wish.version
            self._tell_now.set()
        if reading.boot_seconds - self._anchor_kept > _KEEP_ANCHOR_S:
            self._keep_anchor(reading)
        return not failures

    async def _apply(self, wanted: Target, seen: Seen, now: clock.Time, remarks: list[Remark]) -> list[str]:
        """Close, then change the packet rules, then open."""
        self._ear.knocks.departed(self._seen, seen, wanted, now.latest)
        steps = self._plan(wanted, seen)
        remarks += steps.remarks
        failures = [*steps.refusals, *await self._machine.perform(steps.closing)]
        try:
            if await self._machine.rules.settle(table_of(wanted, self._ear.ports), now.latest):
                remarks.append(Remark(kind="rules-changed", detail="the packet rules were altered; restored"))
        except CommandError as error:
            if not await self._machine.rules.exists():
                failures += await self._machine.perform(without_peers(seen))
                return [*failures, f"{error}; every peer was taken off, there are no packet rules"]
            return [*failures, str(error)]
        # Whoever knocked meanwhile would not knock again for five seconds.
        opening = (self._plan(wanted, seen) if self._ear.hear(self._now) else steps).opening
        return failures + await self._machine.perform(opening)

    def _plan(self, wanted: Target, seen: Seen) -> Plan:
        where = self._ear.knocks.endpoints(self._now())
        return plan(wanted, seen, keys=self._keys, applied=self._applied, known=self._known, endpoints=where)

    def _now(self) -> datetime:
        """The latest the server's time can be."""
        return clock.time_at(self._clocks(), self._anchor).latest

    def _finish(self, wanted: Target, seen: Seen, failures: list[str]) -> None:
        self._target, self._seen = wanted, seen
        applied = {(name, key): peer for name, peers in wanted.peers.items() for key, peer in peers.items()}
        if failures:
            # Only what was so before is certain.
            applied = {at: peer for at, peer in applied.items() if self._applied.get(at) == peer}
        opened, closed = applied.keys() - self._applied.keys(), self._applied.keys() - applied.keys()
        if opened or closed:
            log.info("peers changed", opened=len(opened), closed=len(closed), peers=len(applied))
            self._tell_now.set()
        self._applied = applied
        self._ear.knocks.opened({key for _, key in applied})

    def _closed_alone(self, wish: Wish, wanted: Target, now: clock.Time) -> list[Remark]:
        if self._online:
            return []
        still = {key for peers in wanted.peers.values() for key in peers}
        had = {key for _, key in self._applied}
        return [
            Remark(
                kind="closed-alone",
                detail=f"{peer.name}: its window ended while the server was away",
                public_key=peer.public_key,
            )
            for peer in wish.peers
            if peer.public_key in had - still and peer.not_after is not None and peer.not_after <= now.latest
        ]

    def _standing_remarks(self, wish: Wish) -> list[Remark]:
        """What stays wrong until somebody does something."""
        wrongs = [*self._wrongs, *self._target.conflicts]
        remarks = [
            Remark(kind="apply-failed", detail=wrong.detail, public_key=wrong.public_key)
            for wrong in wrongs[:_MOST_WRONGS]
        ]
        if self._disk:
            remarks.append(Remark(kind="apply-failed", detail=self._disk))
        if len(wrongs) > _MOST_WRONGS:
            detail = f"{len(wrongs) - _MOST_WRONGS} more peers cannot be provisioned"
            remarks.append(Remark(kind="apply-failed", detail=detail))
        ipv6 = any(":" in address for interface in wish.interfaces for address in interface.addresses)
        remarks += [
            Remark(kind="apply-failed", detail=f"packets are not forwarded: set the sysctl {name} to 1")
            for name in not_forwarding(ipv6=ipv6)
        ]
        return remarks

    def _clock_remarks(self, reading: clock.Reading) -> list[Remark]:
        """Said when the clock becomes wrong, and again when it becomes differently wrong."""
        ahead = clock.difference(reading, self._anchor)
        if ahead is None or abs(ahead) <= clock.TOLERANCE:
            self._clock_told = None
            return []
        if self._clock_told is not None and abs(ahead - self._clock_told) <= clock.TOLERANCE:
            return []
        # Either clock may have jumped (a virtual machine that was paused): ask what time it is.
        self._clock_told, self._ask_time = ahead, True
        return [Remark(kind="clock", detail=clock.described(ahead))]

    def _say(self, remarks: list[Remark], at: datetime) -> None:
        for remark in self._events.add(remarks, at):
            log.warning("noticed", kind=remark.kind, detail=remark.detail, peer=remark.public_key)
            self._tell_now.set()

    # ---- telling ------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            self._tell_now.clear()
            error = await self._tell_once()
            if error is None and not self._online:
                self._ask_now.set()
            if error is None and self._ask_time:
                self._ask_time = False
                await self._ask_once(wait=0)
            every = max(1, self._wish.report_seconds) if self._wish is not None else 10
            if error is not None:
                # Events wait; trying at once for each would be a storm.
                await asyncio.sleep(min(every, 5))
            else:
                await _wait(self._tell_now, every)

    async def _tell_once(self) -> AwayError | None:
        events = self._events.waiting()
        await self._observe()
        now = self._now()
        knocks = self._ear.knocks.to_tell(now)
        document = report(
            version=self._in_force,
            now=now,
            keys=self._keys,
            target=self._target,
            seen=self._seen,
            counters=self._counted,
            events=events,
            agent=self._agent,
            knocks=knocks,
        )
        try:
            await self._link.report(document)
        except AwayError as error:
            self._contact(error)
            return error
        self._events.answered(events)
        self._ear.knocks.told(knocks, now)
        return None

    async def _observe(self) -> None:
        """Look at peers and counters; not for each of many reports that changes in a row bring about."""
        started = time.monotonic()
        if self._wish is None or started - self._counted_at < _COUNT_S:
            return
        self._counted_at = started
        try:
            self._seen = await self._machine.look([each.name for each in self._target.interfaces])
            self._counted = await self._machine.rules.counters()
        except (CommandError, NotUnderstoodError) as error:
            log.warning("counters cannot be read", error=str(error))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
