"""An entry as a JSON object: in the API, on the command line, in every line a sink gets."""

from __future__ import annotations

import json
from typing import Any

from coordinator.audit.entry import SealedEntry


def entry_view(entry: SealedEntry) -> dict[str, Any]:
    """All of an entry; who checks hashes elsewhere writes `before` and `after` as `audit.entry` says."""
    return {
        "id": str(entry.id),
        "time": entry.at,
        "actor": {"kind": entry.actor_kind, "name": entry.actor_name},
        "source": entry.source,
        "action": entry.action,
        "object": {"kind": entry.object_kind, "id": entry.object_id, "name": entry.object_name},
        "before": _document(entry.before),
        "after": _document(entry.after),
        "reason": entry.reason,
        "requestId": entry.request_id,
        "previous": entry.previous,
        "hash": entry.hash,
    }


def entry_line(entry: SealedEntry) -> str:
    """The same in one line of ASCII, without its end."""
    return json.dumps(entry_view(entry), separators=(",", ":"))


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # Somebody wrote into the database; it is shown as it stands, and `verify` names it.
        return text
