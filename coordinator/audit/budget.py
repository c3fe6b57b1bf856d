"""How many refusals are recorded: anybody may be refused, so anybody could fill the disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

BURST = 200
"""Refusals recorded at once: a whole class of machines with an outdated key."""
PER_SECOND = 1.0
"""Refusals recorded for good: 86 400 a day, about 50 MB."""


@dataclass(slots=True)
class RefusalBudget:
    """A bucket of refusals that may still be recorded. Those beyond are counted."""

    burst: int = BURST
    per_second: float = PER_SECOND
    _left: float = -1.0
    _at: datetime | None = None
    _unrecorded: int = 0

    def take(self, now: datetime) -> int | None:
        """Ask to record a refusal.

        Returns:
            None: not this one. Otherwise how many were left out since the last that was recorded; the entry
            says so.
        """
        if self._at is None:
            self._left = float(self.burst)
        else:
            gained = max(0.0, (now - self._at).total_seconds()) * self.per_second
            self._left = min(float(self.burst), self._left + gained)
        self._at = now
        if self._left < 1:
            self._unrecorded += 1
            return None
        self._left -= 1
        unrecorded, self._unrecorded = self._unrecorded, 0
        return unrecorded
