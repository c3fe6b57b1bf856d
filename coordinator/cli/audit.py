"""`audit`: who changed what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from coordinator.cli import output
from coordinator.cli.client import call
from coordinator.cli.output import CommandError

app = typer.Typer(no_args_is_help=True, help="Who changed what, from where and why.")

PAGE = 1000
_KEY = re.compile(r"((?:mkey|nodekey):[0-9a-f]{8})[0-9a-f]{56}")
MAX_SHOWN = 60
"""Characters of a change in the table; `-o json` shows all."""
VERIFY_SECONDS = 600.0
"""Tens of millions of entries; the default timeout of the command line is for small questions."""

Since = Annotated[
    str | None, typer.Option("--since", help="Oldest entry: a time (2026-01-31T12:00:00Z) or an age (24h).")
]
Until = Annotated[str | None, typer.Option("--until", help="Only entries before: a time or an age.")]
ByActor = Annotated[
    str | None, typer.Option("--actor", help="Who: kind, name or kind:name (socket, node:7).")
]
Action = Annotated[str | None, typer.Option("--action", help="What: node.register, or node.* for all of it.")]
Object = Annotated[
    str | None, typer.Option("--object", help="On what: kind, name or kind:id (user, web-1, node:7).")
]


@app.command("list")
def list_entries(
    since: Since = None,
    until: Until = None,
    actor: ByActor = None,
    action: Action = None,
    object_: Object = None,
    limit: Annotated[int, typer.Option("--limit", help="How many, the newest first.")] = 100,
) -> None:
    """List entries, newest first."""
    query = _query(since, until, actor, action, object_)
    entries: list[dict[str, Any]] = []
    while len(entries) < limit:
        wanted = min(PAGE, limit - len(entries))
        below = {"before": entries[-1]["id"]} if entries else {}
        page = call("GET", "/api/v1/audit", query={**query, **below, "limit": str(wanted)})["entries"]
        entries += page
        if len(page) < wanted:
            break
    headers = ["ID", "Time", "Actor", "Source", "Action", "Object", "Change", "Reason"]
    output.emit(entries, output.table(headers, [_row(entry) for entry in entries]))


@app.command("export")
def export(
    form: Annotated[str, typer.Option("--format", help="jsonl: one JSON object a line.")] = "jsonl",
    since: Since = None,
    until: Until = None,
    actor: ByActor = None,
    action: Action = None,
    object_: Object = None,
    after: Annotated[int, typer.Option("--after", help="Only entries behind this id.")] = 0,
) -> None:
    """Print entries, oldest first, one JSON object a line."""
    if form != "jsonl":
        output.fail(f"unknown format `{form}`: use jsonl")
    for entry in _oldest_first(_query(since, until, actor, action, object_), after):
        print(json.dumps(entry, separators=(",", ":")))


@app.command("verify")
def verify(
    anchor: Annotated[
        list[str] | None, typer.Option("--anchor", help="ID:HASH of an entry as somebody kept it elsewhere.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="An exported file: each of its lines has to be there.")
    ] = None,
) -> None:
    """Compute every hash again; exit code 1 when somebody changed the log."""
    # One parameter each, so not as a mapping.
    query = f"?{urlencode([('anchor', text) for text in anchor])}" if anchor else ""
    result = call("GET", f"/api/v1/audit/verify{query}", patience=VERIFY_SECONDS)
    findings = [
        f"{finding['kind']}: entry {finding['id']}: {finding['text']}" for finding in result["findings"]
    ]
    more = int(result["wrong"]) - len(findings)
    if more > 0:
        findings.append(f"and {more} more")
    if against is not None:
        differing = _differences(against)
        findings += differing
        result["differences"] = differing
    if findings:
        if output.machine():
            output.emit(result | {"intact": False}, "")
        raise CommandError("the audit log is not as it was written\n  " + "\n  ".join(findings))
    last = f", the last is {result['lastId']}:{result['lastHash']}" if result["entries"] != "0" else ""
    output.emit(result, f"{result['entries']} entries, all as they were written{last}")


def _differences(path: Path) -> list[str]:
    """Where an exported file and the log disagree."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = {int(entry["id"]): entry["hash"] for entry in map(json.loads, filter(str.strip, lines))}
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} does not hold exported entries, one JSON object a line") from error
    if not kept:
        raise CommandError(f"{path} holds no entries")
    known = {int(entry["id"]): entry["hash"] for entry in _oldest_first({}, min(kept) - 1)}
    differing = []
    for number, digest in sorted(kept.items()):
        if number not in known:
            differing.append(f"missing: entry {number} of {path} is not in the log")
        elif known[number] != digest:
            differing.append(f"rewritten: entry {number} is not the one in {path}")
    return differing


def _oldest_first(query: dict[str, str], after: int) -> Iterator[dict[str, Any]]:
    while True:
        asked = {**query, "after": str(after), "limit": str(PAGE)}
        page = call("GET", "/api/v1/audit", query=asked)["entries"]
        yield from page
        if len(page) < PAGE:
            return
        after = int(page[-1]["id"])


def _query(
    since: str | None, until: str | None, actor: str | None, action: str | None, object_: str | None
) -> dict[str, str]:
    given = {
        "since": _moment("--since", since),
        "until": _moment("--until", until),
        "actor": actor,
        "action": action,
        "object": object_,
    }
    return {name: value for name, value in given.items() if value}


def _moment(option: str, text: str | None) -> str | None:
    """A time as it is, an age as the time so long ago."""
    if not text:
        return None
    from coordinator.settings.durations import parse_duration

    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except ValueError:
        try:
            return (datetime.now(UTC) - parse_duration(text)).isoformat()
        except (ValueError, OverflowError):
            raise CommandError(
                f"{option}: `{text}` is neither a time such as 2026-01-31T12:00:00Z nor an age such as 24h"
            ) from None


def _row(entry: dict[str, Any]) -> list[str]:
    actor, on = entry["actor"], entry["object"]
    name = f" ({on['name']})" if on["name"] else ""
    action = entry["action"]
    return [
        entry["id"],
        output.moment(entry["time"]),
        _brief(f"{actor['kind']}:{actor['name']}"),
        entry["source"] or "-",
        output.Alert(action) if action.endswith(".refused") else action,
        _brief(f"{on['kind']}:{on['id']}{name}"),
        _change(entry["before"], entry["after"]),
        entry["reason"] or "-",
    ]


def _change(before: Any, after: Any) -> str:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "-"
    parts = []
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key in before and key in after:
            parts.append(f"{key}: {_short(old)} -> {_short(new)}")
        else:
            parts.append(f"{'+' if key in after else '-'}{key}: {_short(new if key in after else old)}")
    text = _brief(", ".join(parts)) or "-"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _brief(text: str) -> str:
    """Keys by their beginning, as people compare them."""
    return _KEY.sub(r"\1…", text)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
