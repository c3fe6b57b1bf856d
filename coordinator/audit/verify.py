"""Find what was done to the log behind the server's back. Pure: entries in, findings out.

A chain alone cannot show that its end was cut off, nor that somebody with the database in hand wrote all of
it anew. That takes knowledge from elsewhere: the head row, the cursors of the sinks, and anchors, which are
pairs of id and hash that were kept outside, such as any exported line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator.audit.entry import PRUNE, Cursor, Head, SealedEntry, explains_start

MAX_FINDINGS = 100
"""Beyond this only a count: what was rewritten from somewhere on is wrong in every line."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    `kind`: modified, removed, reordered, inserted, relinked, truncated or rewritten.
    """

    kind: str
    id: int
    text: str


class Verifier:
    """Takes the entries in the order of their ids, and says at the end what is wrong.

    Args:
        head: The head row; None when it is gone.
        cursors: What the sinks remember, and anchors.
    """

    def __init__(self, head: Head | None, cursors: Sequence[Cursor] = ()) -> None:
        self._head = head
        self._start = head or Head()
        self._expected = self._start.first_id
        self._previous = self._start.first_previous
        self._wanted: dict[int, list[Cursor]] = {}
        for cursor in cursors:
            if cursor.last_id:
                self._wanted.setdefault(cursor.last_id, []).append(cursor)
        self._pruned = self._start.first_id == 1
        """Whether the log begins where an entry of its own says."""
        self._findings: list[Finding] = []
        self._misfits: list[SealedEntry] = []
        self.count = 0
        """Entries seen."""
        self.wrong = 0
        """Findings, also those beyond `MAX_FINDINGS`."""

    def take(self, entries: Iterable[SealedEntry]) -> None:
        """Look at the next entries."""
        for entry in entries:
            self.count += 1
            self._take(entry)

    def finish(self) -> tuple[Finding, ...]:
        """Look at the end of the chain, and tell everything, in the order of the ids."""
        self._compare_end()
        if not self._pruned:
            self._say("removed", 1, f"no entry says why the log begins with {self._start.first_id}")
        for cursors in self._wanted.values():
            for cursor in cursors:
                self._missing_anchor(cursor)
        self._name_misfits()
        return tuple(sorted(self._findings, key=lambda finding: finding.id))

    # inner

    def _take(self, entry: SealedEntry) -> None:
        if entry.id < self._start.first_id:
            self._say("inserted", entry.id, f"stands before the first entry ({self._start.first_id})")
            return
        if self._head is not None and entry.id > self._head.last_id:
            self._say("inserted", entry.id, f"stands behind the last entry ({self._head.last_id})")
            return
        if entry.id > self._expected:
            last = entry.id - 1
            text = "is missing" if last == self._expected else f"is missing, and all up to {last}"
            self._say("removed", self._expected, text)
        elif entry.previous != self._previous:
            self._say("relinked", entry.id, "does not link to the entry before it")
        if entry.digest() != entry.hash:
            self._misfits.append(entry)
        elif entry.action == PRUNE:
            self._pruned = self._pruned or explains_start(entry, self._start)
        for cursor in self._wanted.pop(entry.id, ()):
            if cursor.last_hash != entry.hash:
                text = f"is not the entry that {cursor.sink} knows ({cursor.last_hash[:16]}…)"
                self._say("rewritten", entry.id, text)
        self._expected = entry.id + 1
        self._previous = entry.hash

    def _compare_end(self) -> None:
        last = self._expected - 1
        if self._head is None:
            self._say("truncated", last, "the head row is missing, so the end of the log cannot be told")
        elif last < self._head.last_id:
            text = f"is missing, and all behind it up to {self._head.last_id}, the last"
            self._say("truncated", last + 1, text)
        elif self._previous != self._head.last_hash:
            self._say("rewritten", last, "is not the entry that the head row knows")

    def _missing_anchor(self, cursor: Cursor) -> None:
        if cursor.last_id < self._start.first_id:
            return
        behind = cursor.last_id >= self._expected
        text = f"{cursor.sink} knows an entry {cursor.last_id} that is not there"
        self._say("truncated" if behind else "removed", cursor.last_id, text)

    def _name_misfits(self) -> None:
        """Entries whose hash is right for another's place were moved; all others were modified."""
        places = [entry.id for entry in self._misfits[:MAX_FINDINGS]]
        for entry in self._misfits:
            likely = (entry.id - 1, entry.id + 1, *places)
            place = next((each for each in likely if entry.digest(at_id=each) == entry.hash), None)
            if place is None:
                self._say("modified", entry.id, "its content does not have its hash")
            else:
                self._say("reordered", entry.id, f"is entry {place} in another's place")

    def _say(self, kind: str, entry_id: int, text: str) -> None:
        self.wrong += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(kind, entry_id, text))
