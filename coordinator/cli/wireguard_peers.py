"""`wireguard peers`: devices that speak plain WireGuard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call, segment
from coordinator.cli.wireguard_private_key import PrivateKeyFile, completed, private_key_of
from coordinator.cli.wireguard_times import moment_after

app = typer.Typer(no_args_is_help=True, help="Devices that speak plain WireGuard.")

PeerName = Annotated[str, typer.Argument(metavar="PEER", help="Name, id or public key.")]
_BASE = "/api/v1/wireguard/peers"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@app.command("create")
def create(
    public_key: Annotated[str, typer.Argument(help="Of the device: `wg pubkey < private.key`.")],
    profile: Annotated[str, typer.Option("--profile", help="Access profile it is for.")] = "",
    access_request: Annotated[
        int | None, typer.Option("--access-request", help="Only for this request, and as long as it lasts.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="As policies call it after `wg:`.")] = "",
    gateway: Annotated[str, typer.Option("--gateway")] = "",
    user: Annotated[str | None, typer.Option("-u", "--user", help="Whose: id, name or e-mail.")] = None,
    service: Annotated[str, typer.Option("--service", help="What it is, if it is nobody's.")] = "",
    address: Annotated[
        list[str] | None, typer.Option("--address", help="This one of the pool, not the next free one.")
    ] = None,
    team: Annotated[str | None, typer.Option("--team", help="Draw the address from its pool.")] = None,
    preshared_key: Annotated[bool, typer.Option("--preshared-key", help="With a preshared key.")] = False,
    keepalive: Annotated[int | None, typer.Option("--keepalive", help="Seconds; 0: none.")] = None,
    permanent: Annotated[bool, typer.Option("--permanent", help="Without access windows.")] = False,
    until: Annotated[str, typer.Option("--until", help="Without access windows, to a time or for 7d.")] = "",
    reason: Annotated[str, typer.Option("--reason")] = "",
    ticket: Annotated[str, typer.Option("--ticket")] = "",
    for_: Annotated[str, typer.Option("--for", help="How long to ask access for.")] = "",
    qr: Annotated[bool, typer.Option("--qr", help="Print the QR code, too.")] = False,
    private_key: PrivateKeyFile = None,
) -> None:
    """Make a device a peer and print its configuration."""
    private = private_key_of(private_key, public_key)
    body: dict[str, Any] = {
        "publicKey": public_key,
        "profile": profile,
        "name": name,
        "gateway": gateway,
        "service": service,
        "presharedKey": preshared_key,
        "addresses": address or [],
        "permanent": permanent,
        "reason": reason,
        "ticket": ticket,
    }
    optional = {
        "accessRequest": access_request,
        "user": user,
        "team": team,
        "keepalive": keepalive,
        "for": for_ or None,
        "until": moment_after("--until", until) if until else None,
    }
    body |= {key: value for key, value in optional.items() if value is not None}
    answer = call("POST", _BASE, body)
    peer = answer["peer"]
    output.note(f"Peer {peer['name']} (id {peer['id']}) on {peer['gateway']}: {peer['state']}")
    output.emit(answer, _with_code(completed(answer["config"], private), qr))


@app.command("list")
def list_peers(
    everything: Annotated[bool, typer.Option("--all", help="Ended ones, too.")] = False,
    gateway: Annotated[str, typer.Option("--gateway")] = "",
    user: Annotated[str, typer.Option("-u", "--user", help="By login.")] = "",
    state: Annotated[
        str, typer.Option("--state", help="active, waiting, scheduled, unreadable or ended.")
    ] = "",
) -> None:
    """List peers: who, where, until when, and what was seen of them."""
    query = {"all": str(everything).lower(), "gateway": gateway, "user": user, "state": state}
    found = call("GET", _BASE, query=query)["peers"]
    rows = [
        [
            each["id"],
            each["name"],
            each["state"],
            each["user"] or each["service"],
            each["profile"] or "-",
            ", ".join(each["addresses"]),
            each["gateway"] or "-",
            output.moment(each["closes_at"] or each["until"]),
            _handshake(each),
            each["endpoint"] or "-",
            f"{size(each['received_bytes'])} / {size(each['sent_bytes'])}",
        ]
        for each in found
    ]
    headers = ["ID", "Name", "State", "Whose", "Profile", "Addresses", "Gateway", "Until"]
    headers += ["Handshake", "Endpoint", "In / out"]
    output.emit(found, output.table(headers, rows))


@app.command("show")
def show(peer: PeerName) -> None:
    """Show a peer."""
    found = call("GET", f"{_BASE}/{segment(peer)}")["peer"]
    lines = [
        f"{found['name']} (id {found['id']}): {found['state']}",
        f"{'user ' + found['user'] if found['user'] else 'service ' + found['service']}, "
        f"on {found['gateway'] or 'no gateway'}, {', '.join(found['addresses'])}",
        f"profile {found['profile'] or '-'}, by {found['basis']}: {found['reason'] or 'no reason given'}",
        f"since {output.moment(found['since'])} by {found['created_by']}",
        f"until {output.moment(found['closes_at'] or found['until'])}",
        *(
            f"key {key['public_key']} since {output.moment(key['since'])}"
            + (f", until {output.moment(key['until'])}" if key["until"] else "")
            for key in found["keys"]
        ),
        f"handshake {output.moment(found['last_handshake'])}, {found['endpoint'] or 'never seen'}, "
        f"{size(found['received_bytes'])} in, {size(found['sent_bytes'])} out",
    ]
    if knocking := found.get("knocking"):
        lines.append(
            f"knocking since {output.moment(knocking['since'])}, last {output.moment(knocking['last'])} "
            f"from {knocking['endpoint'] or 'somewhere'}, {knocking['count']} times"
        )
    if found["ended_at"]:
        lines.append(
            f"ended {output.moment(found['ended_at'])} by {found['ended_by']}: {found['end_reason']}"
        )
    output.emit(found, "\n".join(lines))


@app.command("revoke")
def revoke(peer: PeerName) -> None:
    """End a peer now."""
    found = call("DELETE", f"{_BASE}/{segment(peer)}")["peer"]
    output.emit(found, f"Peer {found['name']} revoked")


@app.command("rotate")
def rotate(
    peer: PeerName,
    public_key: Annotated[str, typer.Argument(help="The device's new key.")] = "",
    overlap: Annotated[str, typer.Option("--overlap", help="How long the former key stays valid.")] = "24h",
    preshared_key: Annotated[
        bool, typer.Option("--preshared-key", help="A new preshared key alone, valid at once.")
    ] = False,
) -> None:
    """Give a device another key, or another preshared key, and print its configuration."""
    path = f"{_BASE}/{segment(peer)}"
    if preshared_key == bool(public_key):
        output.fail("say what to rotate: the device's new public key, or --preshared-key")
    if preshared_key:
        answer = call("POST", f"{path}/rotate-preshared", {})
    else:
        answer = call("POST", f"{path}/rotate", {"publicKey": public_key, "overlap": overlap})
    output.emit(answer, answer["config"]["wg_quick"].rstrip("\n"))


@app.command("config")
def config(
    peer: PeerName,
    qr: Annotated[bool, typer.Option("--qr", help="Print the QR code, too.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the QR code to this file.")] = None,
    private_key: PrivateKeyFile = None,
) -> None:
    """Print the configuration of a device, as wg-quick and the apps read it."""
    found = call("GET", f"{_BASE}/{segment(peer)}/config")["config"]
    text = completed(found, private_key_of(private_key, found["public_key"]))
    if svg is not None:
        from coordinator.wireguard.device_config import TooLongForQRError, qr_svg

        try:
            svg.write_text(qr_svg(text), encoding="utf-8")
        except TooLongForQRError as error:
            output.fail(str(error))
        except OSError as error:
            output.fail(f"cannot write {svg}: {error.strerror}")
    output.emit(found, _with_code(text, qr))


def _handshake(peer: dict[str, Any]) -> str:
    if knocking := peer.get("knocking"):
        return f"knocking since {output.moment(knocking['since'])}"
    return output.moment(peer["last_handshake"]) if peer["last_handshake"] else "never"


def size(number: int) -> str:
    """Bytes for people."""
    value, unit = float(number), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _with_code(text: str, qr: bool) -> str:
    if not qr:
        return text.rstrip("\n")
    from coordinator.wireguard.device_config import TooLongForQRError, qr_text

    try:
        return f"{text}\n{qr_text(text)}".rstrip("\n")
    except TooLongForQRError as error:
        output.note(str(error))
        return text.rstrip("\n")
