"""Every way to tamper with a chain, on chains in memory; the store's tests do it with SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.audit.entry import Cursor, Head, SealedEntry, seal
from coordinator.audit.verify import MAX_FINDINGS, Finding, Verifier
from tests.support.audit_entries import make_chain, make_entry

Chain = list[SealedEntry]


def verified(
    chain: Sequence[SealedEntry], head: Head | None, cursors: Sequence[Cursor] = ()
) -> tuple[Finding, ...]:
    verifier = Verifier(head, cursors)
    for entry in chain:
        verifier.take([entry])
    return verifier.finish()


def kinds(findings: Sequence[Finding]) -> set[tuple[str, int]]:
    return {(finding.kind, finding.id) for finding in findings}


def modified(chain: Chain) -> Chain:
    chain[2] = chain[2]._replace(after="{}")
    return chain


def rehashed(chain: Chain) -> Chain:
    changed = chain[2]._replace(after="{}")
    chain[2] = changed._replace(hash=changed.digest())
    return chain


def removed(chain: Chain) -> Chain:
    del chain[2]
    return chain


def first_removed(chain: Chain) -> Chain:
    return chain[1:]


def reordered(chain: Chain) -> Chain:
    chain[1], chain[2] = chain[2]._replace(id=2), chain[1]._replace(id=3)
    return chain


def inserted_inside(chain: Chain) -> Chain:
    more = next(seal([make_entry(99)], 2, chain[1].hash))
    return [*chain[:2], more, *(entry._replace(id=entry.id + 1) for entry in chain[2:])]


def inserted_behind(chain: Chain) -> Chain:
    return [*chain, *seal([make_entry(99)], 5, chain[-1].hash)]


def inserted_before(chain: Chain) -> Chain:
    return [chain[0]._replace(id=0), *chain]


def truncated(chain: Chain) -> Chain:
    return chain[:3]


def emptied(chain: Chain) -> Chain:
    return []


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (modified, {("modified", 3)}),
        (rehashed, {("relinked", 4)}),
        (removed, {("removed", 3)}),
        (first_removed, {("removed", 1)}),
        (reordered, {("reordered", 2), ("reordered", 3), ("relinked", 2), ("relinked", 3), ("relinked", 4)}),
        (inserted_behind, {("inserted", 6)}),
        (inserted_before, {("inserted", 0)}),
        (truncated, {("truncated", 4)}),
        (emptied, {("truncated", 1)}),
    ],
)
def test_each_way_is_found_and_named(tamper: Callable[[Chain], Chain], found: set[tuple[str, int]]) -> None:
    chain, head = make_chain(5)
    assert verified(chain, head) == ()
    assert kinds(verified(tamper(list(chain)), head)) == found


def test_an_entry_inserted_inside_shifts_all_behind_it() -> None:
    chain, head = make_chain(5)
    findings = kinds(verified(inserted_inside(chain), head))
    assert {("reordered", 4), ("reordered", 5), ("inserted", 6)} <= findings


def test_a_cut_that_takes_the_head_along_is_known_to_a_sink() -> None:
    chain, _ = make_chain(5)
    cut, head = make_chain(3)
    assert verified(cut, head) == ()
    cursor = Cursor("file", 5, chain[4].hash)
    assert kinds(verified(cut, head, [cursor])) == {("truncated", 5)}


def test_a_log_written_anew_is_known_to_an_anchor() -> None:
    chain, _ = make_chain(3)
    forged = list(seal([make_entry(1), make_entry(2, reason="x"), make_entry(3)], 0, "0" * 64))
    head = Head(3, forged[-1].hash)
    assert verified(forged, head) == ()
    anchor = Cursor("anchor 3", 3, chain[2].hash)
    assert kinds(verified(forged, head, [anchor])) == {("rewritten", 3)}
    assert verified(forged, head, [Cursor("anchor 1", 1, chain[0].hash)]) == ()


def test_the_last_entry_written_anew_does_not_fit_the_head() -> None:
    chain, head = make_chain(3)
    last = chain[2]._replace(reason="x")
    assert kinds(verified([*chain[:2], last._replace(hash=last.digest())], head)) == {("rewritten", 3)}


def test_a_missing_head_row_is_said() -> None:
    chain, _ = make_chain(2)
    assert kinds(verified(chain, None)) == {("truncated", 2)}


def test_an_empty_log_is_intact_and_new_sinks_know_nothing() -> None:
    assert verified([], Head(), [Cursor("file")]) == ()


def test_findings_are_capped_and_counted() -> None:
    chain, head = make_chain(MAX_FINDINGS + 50)
    verifier = Verifier(head)
    verifier.take([entry._replace(reason="x") for entry in chain])
    assert len(verifier.finish()) == MAX_FINDINGS
    assert verifier.wrong == MAX_FINDINGS + 50
    assert verifier.count == MAX_FINDINGS + 50


@given(st.data())
def test_no_single_change_goes_unnoticed(data: st.DataObject) -> None:
    chain, head = make_chain(6)
    place = data.draw(st.integers(0, 5))
    field = data.draw(st.sampled_from([name for name in SealedEntry._fields if name != "id"]))
    value = data.draw(st.text(max_size=70).filter(lambda text: text != getattr(chain[place], field)))
    chain[place] = chain[place]._replace(**{field: value})
    assert verified(chain, head) != ()
