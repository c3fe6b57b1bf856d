"""`access`: ask for access that opens for a while, decide, and look at it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from coordinator.cli import output
from coordinator.cli.client import call, segment
from coordinator.cli.this_machine import from_this_machine

app = typer.Typer(no_args_is_help=True, help="Just-in-time access: asked for, approved, closed by itself.")
incident = typer.Typer(no_args_is_help=True, help="Open profiles for a team at once, under one name.")
app.add_typer(incident, name="incident")

RequestID = Annotated[int, typer.Argument(metavar="ID", help="Of the request.")]
As = Annotated[str | None, typer.Option("--as", help="Who decides: id, name or e-mail.")]
_BASE = "/api/v1/access"


@app.command("profiles")
@from_this_machine
def profiles() -> None:
    """List the profiles of the policy, and those declared with `wireguard apply`."""
    found = call("GET", f"{_BASE}/profiles")["profiles"]
    rows = [
        [
            profile["name"],
            ", ".join(profile["src"]),
            ", ".join(profile["dst"]),
            output.seconds(profile["default_duration_seconds"]),
            output.seconds(profile["max_duration_seconds"]),
            f"{profile['approvals']} of {', '.join(profile['approvers'])}"
            if profile["approvers"]
            else "none",
            profile["source"],
        ]
        for profile in found
    ]
    headers = ["Profile", "Who may ask", "Opens", "Default", "Longest", "Approvals", "From"]
    output.emit(found, output.table(headers, rows))


@app.command("request")
@from_this_machine
def request(
    profile: str,
    for_: Annotated[str | None, typer.Option("--for", help="How long, such as 90m.")] = None,
    reason: Annotated[str, typer.Option("--reason")] = "",
    ticket: Annotated[str, typer.Option("--ticket")] = "",
    user: Annotated[str | None, typer.Option("-u", "--user", help="Who asks: id, name or e-mail.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="Only for this machine: id or name.")] = None,
    break_glass: Annotated[bool, typer.Option("--break-glass", help="Open at once, to be reviewed.")] = False,
    mint: Annotated[bool, typer.Option("--mint", help="For a machine from outside, with a key.")] = False,
) -> None:
    """Ask for access."""
    body: dict[str, Any] = {"profile": profile, "reason": reason, "ticket": ticket, "breakGlass": break_glass}
    body["mint"] = mint
    for name, value in (("for", for_), ("user", user), ("node", node)):
        if value is not None:
            body[name] = value
    _show(call("POST", f"{_BASE}/requests", body)["request"])


@app.command("list")
@from_this_machine
def list_requests(
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state.")] = None,
) -> None:
    """List requests, newest first."""
    found = call("GET", f"{_BASE}/requests", query={"state": state} if state else None)["requests"]
    rows = [
        [
            each["id"],
            each["state"],
            each["profile"],
            each["user"],
            each["node"] or "all",
            output.moment(each["opens_at"]),
            output.moment(each["closes_at"]),
            each["reason"],
        ]
        for each in found
    ]
    headers = ["ID", "State", "Profile", "User", "Node", "Opens", "Closes", "Reason"]
    output.emit(found, output.table(headers, rows))


@app.command("show")
@from_this_machine
def show(request_id: RequestID) -> None:
    """Show one request."""
    _show(call("GET", f"{_BASE}/requests/{request_id}")["request"])


@app.command("key")
@from_this_machine
def key(request_id: RequestID, as_: As = None) -> None:
    """Show the key of an open window for a machine from outside; once, to the one who asked."""
    _decide(request_id, "key", as_)


@app.command("approve")
@from_this_machine
def approve(request_id: RequestID, as_: As = None) -> None:
    """Approve a request."""
    _decide(request_id, "approve", as_)


@app.command("deny")
@from_this_machine
def deny(request_id: RequestID, as_: As = None) -> None:
    """Deny a request."""
    _decide(request_id, "deny", as_)


@app.command("links")
def links(
    request_id: RequestID,
    for_: Annotated[str | None, typer.Option("--for", help="Only this approver: id, name or e-mail.")] = None,
) -> None:
    """Make one-time links with which approvers answer a request; give each only to its person."""
    path = f"{_BASE}/requests/{segment(str(request_id))}/links"
    made = call("POST", path, {"user": for_} if for_ is not None else {})["links"]
    # Not a table: a link must stay whole however narrow the terminal is.
    lines = [
        line
        for each in made
        for line in (each["user"], f"  approve: {each['approve']}", f"  deny:    {each['deny']}")
    ]
    output.emit(made, "\n".join(lines))


@app.command("extend")
@from_this_machine
def extend(
    request_id: RequestID,
    for_: Annotated[str, typer.Option("--for", help="How much longer, such as 30m.")],
    as_: As = None,
) -> None:
    """Keep a window open longer."""
    _decide(request_id, "extend", as_, {"for": for_})


@app.command("revoke")
@from_this_machine
def revoke(request_id: RequestID, as_: As = None) -> None:
    """Close a window now, or take a request back."""
    _decide(request_id, "revoke", as_)


@app.command("review")
@from_this_machine
def review(request_id: RequestID, note: Annotated[str, typer.Option("--note")] = "", as_: As = None) -> None:
    """Say that a break-glass opening was looked at."""
    _decide(request_id, "review", as_, {"note": note})


@app.command("report")
def report(since: Annotated[str, typer.Option("--since", help="Period, such as 30d.")] = "30d") -> None:
    """Show the figures of a period."""
    _figures(call("GET", f"{_BASE}/report", query={"since": since})["report"])


@incident.command("open")
def incident_open(
    name: str,
    profile: Annotated[list[str], typer.Option("--profile", help="What to open; may be repeated.")],
    for_: Annotated[str, typer.Option("--for", help="How long, such as 4h.")],
    people: Annotated[list[str], typer.Option("--people", help="Who; comma list, may be repeated.")],
    commander: Annotated[str | None, typer.Option("--commander", help="Who leads it.")] = None,
) -> None:
    """Open profiles for a team at once."""
    body: dict[str, Any] = {
        "name": name,
        "profiles": [each for text in profile for each in text.split(",")],
        "people": [each.strip() for text in people for each in text.split(",")],
        "for": for_,
    }
    if commander is not None:
        body["commander"] = commander
    made = call("POST", f"{_BASE}/incidents", body)["requests"]
    output.emit(made, f"Incident {name}: {len(made)} windows are open.")


@incident.command("close")
def incident_close(name: str) -> None:
    """Close every window of an incident, and print its figures."""
    answer = call("POST", f"{_BASE}/incidents/{quote(name, safe='')}/close")
    if output.machine():
        output.emit(answer, "")
        return
    _figures(answer["report"])


def _decide(request_id: int, verb: str, as_: str | None, more: dict[str, Any] | None = None) -> None:
    body = {**(more or {}), **({"as": as_} if as_ is not None else {})}
    _show(call("POST", f"{_BASE}/requests/{segment(str(request_id))}/{verb}", body)["request"])


def _show(found: dict[str, Any]) -> None:
    lines = [f"Request {found['id']}: {found['profile']} for {found['user']} is {found['state']}."]
    if found["closes_at"]:
        lines.append(f"Open from {output.moment(found['opens_at'])} to {output.moment(found['closes_at'])}.")
    if found["mint"]:
        lines.append(f"For a machine from outside, which joins as {', '.join(found['mint'])}.")
    if found.get("key"):
        lines.append(f"Its key, shown only now, admits one machine until then:\n{found['key']}")
    if found["approvals"]:
        lines.append("Approved by " + ", ".join(each["by"] for each in found["approvals"]) + ".")
    if found["state"] == "requested":
        lines.append(f"Somebody approves it with: coordinator access approve {found['id']} --as WHO")
    output.emit(found, "\n".join(lines))


def _figures(found: dict[str, Any]) -> None:
    flat = {**found, **{f"time_to_open_seconds.{k}": v for k, v in found["time_to_open_seconds"].items()}}
    del flat["time_to_open_seconds"]
    rows = [[name, "-" if value is None else str(value)] for name, value in flat.items()]
    output.emit(found, output.table(["Figure", "Value"], rows))
