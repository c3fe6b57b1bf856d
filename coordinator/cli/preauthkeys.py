"""`preauthkeys`: secrets that let machines join without a login."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from coordinator.cli import output
from coordinator.cli.client import call, find_user

app = typer.Typer(no_args_is_help=True, help="Pre-auth keys: let machines join without a login.")

KeyID = Annotated[str | None, typer.Option("-i", "--id", help="Id of the key.")]
KeyText = Annotated[str | None, typer.Argument(help="The key, its prefix, or the masked form.")]


@app.command("create")
def create(
    user: Annotated[str | None, typer.Option("-u", "--user", help="Owner: id, name or e-mail.")] = None,
    reusable: Annotated[bool, typer.Option("--reusable", help="More than one machine may use it.")] = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Its nodes vanish when they leave.")] = False,
    expiration: Annotated[str, typer.Option("-e", "--expiration", help="Such as 30m, 24h, 90d.")] = "1h",
    tags: Annotated[list[str] | None, typer.Option("--tags", help="Tags of its nodes.")] = None,
    pre_approved: Annotated[
        bool, typer.Option("--pre-approved", help="Its nodes need no device approval.")
    ] = False,
    max_uses: Annotated[
        int | None, typer.Option("--max-uses", min=1, help="So many machines may use it.")
    ] = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
) -> None:
    """Create a key and print it; it is never shown again."""
    body = {
        "user": find_user(user)["id"] if user is not None else "",
        "reusable": reusable,
        "ephemeral": ephemeral,
        "expiration": ends_after(expiration),
        "aclTags": split(tags),
        "preApproved": pre_approved,
        "maxUses": max_uses,
        "description": description,
    }
    key = call("POST", "/api/v1/preauthkey", body)["preAuthKey"]
    output.emit(key, key["key"])


def ends_after(expiration: str) -> str:
    """The moment a key ends that lives so long from now."""
    from coordinator.settings.durations import parse_duration

    try:
        return (datetime.now(UTC) + parse_duration(expiration)).isoformat()
    except (ValueError, OverflowError) as error:
        output.fail(f"--expiration: {error}")


@app.command("list")
def list_keys(user: Annotated[str | None, typer.Option("-u", "--user")] = None) -> None:
    """List keys."""
    keys = call("GET", "/api/v1/preauthkey", query={"user": user} if user else None)["preAuthKeys"]
    rows = [
        [
            key["id"],
            key["key"],
            str(key["reusable"]).lower(),
            str(key["ephemeral"]).lower(),
            str(key["used"]).lower(),
            output.deadline(key["expiration"]),
            output.moment(key["createdAt"]),
            ",".join(key["aclTags"]) or (key["user"]["name"] if key["user"] else "-"),
            f"{key['uses']}/{key['maxUses'] or ('-' if key['reusable'] else 1)}",
            output.moment(key["lastUsed"]) if key["lastUsed"] else "never",
            key["description"] or "-",
        ]
        for key in keys
    ]
    headers = ["ID", "Key/Prefix", "Reusable", "Ephemeral", "Used", "Expiration", "Created", "Owner"]
    headers += ["Uses", "Last use", "Description"]
    output.emit(keys, output.table(headers, rows))


@app.command("expire")
def expire(
    key: KeyText = None,
    key_id: KeyID = None,
    user: Annotated[str | None, typer.Option("-u", "--user", hidden=True)] = None,
) -> None:
    """Stop a key from admitting machines; its nodes stay."""
    call("POST", "/api/v1/preauthkey/expire", _chosen(key, key_id))
    output.emit({}, "Key expired")


@app.command("delete")
def delete(key: KeyText = None, key_id: KeyID = None) -> None:
    """Remove a key; its nodes stay."""
    call("DELETE", "/api/v1/preauthkey", query=_chosen(key, key_id))
    output.emit({}, "Key deleted")


def split(values: list[str] | None) -> list[str]:
    """Repeated options and comma lists alike."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _chosen(key: str | None, key_id: str | None) -> dict[str, str]:
    if key_id:
        return {"id": key_id}
    if not key:
        output.fail("say which key: --id ID")
    return {"id": key} if key.isdecimal() else {"key": key}
