"""Which node indices changed since a given `seq`, and which nodes left.

An index is given to a new node after its former holder left. A reader that still remembers the former one
finds the removal here, so it can tell its client about both. The log is bounded: a reader older than its
beginning has to start over with a full map.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from coordinator.tailnet.nodes import NodeID

MAX_ENTRIES = 65_536
"""About 5 MB;

at 100 changes a second a reader may be ten minutes late, and slow readers are dropped long before.
"""


@dataclass(frozen=True, slots=True)
class Removal:
    """The holder of an index left at `seq`."""

    seq: int
    index: int
    node_id: NodeID


class ChangeLog:
    """Append-only with a moving beginning; answers are remembered until the next append."""

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._bits: list[int] = []
        self._removals: list[Removal] = []
        self._start = 0
        self._answers: dict[int, int] = {}

    def changed(self, seq: int, bits: int) -> None:
        """The nodes in `bits` changed at `seq` in a way their viewers must hear of."""
        if not bits:
            return
        self._seqs.append(seq)
        self._bits.append(bits)
        self._answers.clear()
        if len(self._seqs) > MAX_ENTRIES:
            half = len(self._seqs) // 2
            self._start = self._seqs[half - 1]
            # Entries of one seq must not be torn apart.
            while half < len(self._seqs) and self._seqs[half] == self._start:
                half += 1
            del self._seqs[:half]
            del self._bits[:half]
            self._removals = [removal for removal in self._removals if removal.seq > self._start]

    def removed(self, seq: int, index: int, node_id: NodeID) -> None:
        """The holder of an index left at `seq`."""
        self._removals.append(Removal(seq, index, node_id))

    def since(self, seq: int) -> int | None:
        """Bit set of indices that changed after `seq`; None when the log does not reach back that far."""
        if seq < self._start:
            return None
        answer = self._answers.get(seq)
        if answer is None:
            answer = 0
            for bits in self._bits[bisect_right(self._seqs, seq) :]:
                answer |= bits
            self._answers[seq] = answer
        return answer

    def removals_since(self, seq: int) -> list[Removal]:
        """Nodes that left after `seq`, oldest first."""
        position = len(self._removals)
        while position and self._removals[position - 1].seq > seq:
            position -= 1
        return self._removals[position:]
