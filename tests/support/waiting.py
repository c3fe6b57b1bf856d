"""Waiting for something to become true, with a deadline and a sentence for the failure.

Used by every test that watches another process; a fixed sleep is either too short or wasted.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FAST_POLL_S = 0.05


class TookTooLongError(AssertionError):
    """What was waited for did not happen; the text says what was seen last."""


def eventually(
    probe: Callable[[], T | None], what: str, *, within: float = 10.0, every: float = FAST_POLL_S
) -> T:
    """Call `probe` until it returns something true, and return that.

    Args:
        probe: called at least twice; a false result means "not yet".
        what: completes the sentence "waited in vain for ...".
        within: seconds.
        every: seconds between two calls.
    Raises:
        TookTooLongError: `within` seconds passed.
    """
    deadline = time.monotonic() + within
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            seen = probe()
            if seen:
                return seen
            raise TookTooLongError(f"waited {within:g} s in vain for {what}; seen last: {seen!r}")
        time.sleep(every)


def holds(probe: Callable[[], object], what: str, *, seconds: float, every: float = FAST_POLL_S) -> None:
    """Check that `probe` stays true for a while.

    Raises:
        AssertionError: it became false; the text says after how long.
    """
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        if not probe():
            raise AssertionError(f"{what} stopped being true after {passed:.2f} s")
        time.sleep(every)
