"""An entry with its place in the chain: canonical bytes, hash, link to the one before.

Every hash covers the hash before it, so an entry cannot be changed, moved or taken out without all later
hashes changing as well. The form is fixed, and simple enough to be checked by a program of somebody else:

    hash = BLAKE2b-256(person "coord.audit.v1", previous as 32 bytes + JSON array of the fields)

The array holds `FIELDS` in their order, `id` as a number and the rest as text, non-ASCII escaped, no blanks.
`before` and `after` are JSON documents inside, as text, so that nobody has to agree on how to write one
again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from coordinator.tailnet.actors import Actor
from coordinator.tailnet.state import AuditEntry

GENESIS = "0" * 64
"""What the first entry links to."""
HASH_BYTES = 32
_PERSON = b"coord.audit.v1"
_ARRAY = json.JSONEncoder(separators=(",", ":"))
_DOCUMENT = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=str)


class SealedEntry(NamedTuple):
    """An entry as stored. Ids count from 1 without gaps, in the order of the commits."""

    id: int
    at: str
    """UTC with microseconds, such as `2026-01-02T03:04:05.000006Z`."""
    actor_kind: str
    actor_name: str
    source: str
    action: str
    object_kind: str
    object_id: str
    object_name: str
    before: str
    """A JSON object."""
    after: str
    """A JSON object."""
    reason: str
    request_id: str
    previous: str
    """Hash of the entry before, hexadecimal."""
    hash: str

    def digest(self, *, at_id: int | None = None) -> str:
        """What the hash has to be; with `at_id`, if the entry stood there."""
        fields = self[:-2] if at_id is None else (at_id, *self[1:-2])
        return _digest(fields, self.previous)


FIELDS = SealedEntry._fields[:-2]


class Head(NamedTuple):
    """The ends of the chain: `last_*` of the newest entry (0 and `GENESIS` when there is none).

    `first_id` is the oldest entry that has to be there, `first_previous` what it links to.
    """

    last_id: int = 0
    last_hash: str = GENESIS
    first_id: int = 1
    first_previous: str = GENESIS


class Cursor(NamedTuple):
    """How far a sink has got: its name, and the last entry it took."""

    sink: str
    last_id: int = 0
    last_hash: str = GENESIS


PRUNE = "audit.prune"
"""Action of the entry that remembers which entries were given up; taking some away cannot look alike."""


def prune_entry(now: datetime, last: SealedEntry, first_id: int, retention: timedelta) -> AuditEntry:
    """What stays of entries that are too old: which they were, and the hash of the last."""
    return AuditEntry(
        at=now,
        actor=Actor(kind="system", name="retention"),
        action=PRUNE,
        object_kind="audit",
        object_id=f"{first_id}-{last.id}",
        after={"first_id": first_id, "last_id": last.id, "last_hash": last.hash, "last_time": last.at},
        reason=f"older than {retention}",
    )


def explains_start(entry: SealedEntry, head: Head) -> bool:
    """Whether a prune entry, whose hash is right, says why the log begins where the head says."""
    try:
        end = json.loads(entry.after)
        return (end["last_id"], end["last_hash"]) == (head.first_id - 1, head.first_previous)
    except (ValueError, KeyError, TypeError):
        # Not written by us, though its hash is right.
        return False


def seal(entries: Iterable[AuditEntry], last_id: int, last_hash: str) -> Iterator[SealedEntry]:
    """Give entries their place behind the one with `last_id` and `last_hash`."""
    for entry in entries:
        last_id += 1
        fields = (
            last_id,
            moment_text(entry.at),
            entry.actor.kind,
            storable(entry.actor.name),
            storable(entry.origin.source),
            entry.action,
            entry.object_kind,
            storable(entry.object_id),
            storable(entry.object_name),
            document_text(entry.before),
            document_text(entry.after),
            storable(entry.reason),
            entry.origin.request_id,
        )
        sealed = SealedEntry(*fields, last_hash, _digest(fields, last_hash))
        last_hash = sealed.hash
        yield sealed


def moment_text(moment: datetime) -> str:
    """A time as entries hold it; of fixed width, so that it sorts as text."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def document_text(document: Mapping[str, Any]) -> str:
    """A JSON document in one line, pure ASCII, keys sorted."""
    return _DOCUMENT.encode(document) if document else "{}"


def storable(text: str) -> str:
    """A text with U+FFFD for NUL, which PostgreSQL refuses, and for halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _digest(fields: tuple[Any, ...], previous: str) -> str:
    try:
        link = bytes.fromhex(previous)
    except ValueError:
        # Only after somebody wrote into the database; the digest of what stands there still differs.
        link = previous.encode("utf-8", "replace")
    canonical = _ARRAY.encode(fields).encode("ascii")
    return blake2b(link + canonical, digest_size=HASH_BYTES, person=_PERSON).hexdigest()
