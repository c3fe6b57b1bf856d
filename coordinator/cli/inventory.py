"""`inventory`: every key, whose it is and why it is there."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call

app = typer.Typer(no_args_is_help=True, help="Every key: whose it is, why it is there, how old it is.")

Unseen = Annotated[
    str | None, typer.Option("--unseen", help="How long a machine may stay away, such as 30d.")
]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", help="Rotation age, instead of inventory.rotation_age.")
]


@app.command("list")
def list_keys(
    owner: Annotated[str | None, typer.Option("--owner", help="Only keys of this login or tag.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="tailnet or wireguard.")] = None,
) -> None:
    """List all keys."""
    keys = [
        key
        for key in call("GET", "/api/v1/inventory")["keys"]
        if (not owner or owner in key["owner"].split(",")) and (not kind or key["kind"] == kind)
    ]
    output.emit(keys, _table(keys))


@app.command("report")
def report(unseen: Unseen = None, older_than: OlderThan = None) -> None:
    """Show the keys that should be looked at: stale, old, unseen, without end."""
    found = call("GET", "/api/v1/inventory/report", query=_query(unseen, older_than))
    lines = [f"{found['total']} keys"]
    for finding in found["findings"]:
        lines.append(f"{finding['count']:>6} {finding['finding']:<10} {finding['meaning']}")
    if found["keys"]:
        lines += ["", _table(found["keys"], findings=True)]
    output.emit(found, "\n".join(lines))


@app.command("export")
def export(
    form: Annotated[str, typer.Option("--format", help="json, jsonl or csv.")] = "json",
    unseen: Unseen = None,
    older_than: OlderThan = None,
) -> None:
    """Print all keys with all fields, for another program."""
    if form not in ("json", "jsonl", "csv"):
        output.fail(f"unknown format `{form}`: use json, jsonl or csv")
    keys = call("GET", "/api/v1/inventory", query=_query(unseen, older_than))["keys"]
    if form == "csv":
        from coordinator.tailnet.inventory_csv import inventory_csv

        print(inventory_csv(keys), end="")
    elif form == "jsonl":
        for key in keys:
            print(json.dumps(key, ensure_ascii=False, separators=(",", ":")))
    else:
        print(json.dumps(keys, ensure_ascii=False, indent="\t"))


def _query(unseen: str | None, older_than: str | None) -> dict[str, str]:
    given = {"unseen": unseen, "olderThan": older_than}
    return {name: value for name, value in given.items() if value}


def _table(keys: list[dict[str, Any]], *, findings: bool = False) -> str:
    headers = ["Kind", "ID", "Name", "Owner", "Why", "Since", "Until", "Last seen", "Key age", "State"]
    rows = [
        [
            key["kind"],
            key["id"],
            key["name"],
            key["owner"] or key["ownerKind"],
            "; ".join([key["reason"], *key["access"]]),
            output.moment(key["since"]),
            output.deadline(key["until"]),
            "online" if key["online"] else output.moment(key["lastSeen"]),
            _age(key),
            key["state"] if key["state"] == "valid" else output.Alert(key["state"]),
            *([",".join(key["findings"])] if findings else []),
        ]
        for key in keys
    ]
    return output.table([*headers, *(["Findings"] if findings else [])], rows)


def _age(key: dict[str, Any]) -> str:
    at_most = "" if key["keySinceExact"] else "<= "
    return f"{at_most}{key['keyAgeDays']:.0f} d" + (", new one asked for" if key["rotationAsked"] else "")
