"""`wireguard gateways`: machines that terminate the tunnels of plain WireGuard peers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call, segment
from coordinator.cli.preauthkeys import split

app = typer.Typer(no_args_is_help=True, help="Machines that terminate the tunnels of plain WireGuard peers.")

GatewayName = Annotated[str, typer.Argument(metavar="GATEWAY", help="Name or id.")]
_BASE = "/api/v1/wireguard/gateways"


@app.command("create")
def create(
    name: str,
    host: Annotated[str, typer.Option("--host", help="Name or address that devices dial.")],
    pool: Annotated[
        list[str] | None, typer.Option("--pool", help="Network of peers, such as 10.90.0.0/24.")
    ] = None,
    team_pool: Annotated[
        list[str] | None,
        typer.Option("--team-pool", help="group:ops=10.91.0.0/24,fd00:91::/64, for a team alone."),
    ] = None,
    listen_port: Annotated[
        int, typer.Option("--listen-port", help="UDP; the next one is for rotations.")
    ] = 51820,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="Name servers of devices.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="It serves only these profiles.")
    ] = None,
    mtu: Annotated[int, typer.Option("--mtu")] = 1420,
    keepalive: Annotated[
        int, typer.Option("--keepalive", help="Seconds, of devices behind a NAT; 0: none.")
    ] = 25,
    masquerade: Annotated[
        bool, typer.Option("--masquerade/--no-masquerade", help="Whether peers leave with its own address.")
    ] = True,
    tailnet: Annotated[
        bool, typer.Option("--tailnet", help="It is a node of the tailnet that routes its pools.")
    ] = False,
    rotate_days: Annotated[
        int, typer.Option("--rotate-days", help="Its key gets old after so many days.")
    ] = 0,
) -> None:
    """Create a gateway and print its token; it is never shown again."""
    body = {
        "name": name,
        "host": host,
        "pools": split(pool),
        "teamPools": dict(_team(text) for text in team_pool or ()),
        "listenPort": listen_port,
        "dns": split(dns),
        "profiles": split(profile),
        "mtu": mtu,
        "keepalive": keepalive,
        "masquerade": masquerade,
        "tailnet": tailnet,
        "rotateDays": rotate_days,
    }
    answer = call("POST", _BASE, body)
    output.note(f"Run on the gateway: coordinator gateway --server URL --token {answer['token']}")
    output.emit(answer, answer["token"])


@app.command("list")
def list_gateways() -> None:
    """List gateways."""
    found = call("GET", _BASE)["gateways"]
    rows = [
        [
            each["id"],
            each["name"],
            endpoint(each),
            ", ".join(network for pool in each["pools"] for network in pool["networks"]),
            str(each["peers"]),
            output.moment(each["last_report"]) if each["last_report"] else output.Alert("never"),
            "yes" if each["in_step"] else output.Alert("no"),
        ]
        for each in found
    ]
    headers = ["ID", "Name", "Endpoint", "Pools", "Peers", "Last report", "As wished"]
    output.emit(found, output.table(headers, rows))


@app.command("show")
def show(gateway: GatewayName) -> None:
    """Show a gateway."""
    found = call("GET", f"{_BASE}/{segment(gateway)}")["gateway"]
    lines = [
        f"{found['name']} (id {found['id']}), {endpoint(found)}, {found['peers']} peers",
        *(
            f"pool {pool['team'] or 'for everybody'}: {', '.join(pool['networks'])}"
            for pool in found["pools"]
        ),
        f"addresses: {', '.join(found['addresses'])}",
        *(
            f"key {key['key_id']} on {key['interface']}, port {key['listen_port']}: "
            f"{key['public_key'] or 'not reported yet'}"
            + (f", until {output.moment(key['until'])}" if key["until"] else "")
            for key in found["keys"]
        ),
        f"profiles: {', '.join(found['profiles']) or 'all'}",
        f"last report: {output.moment(found['last_report'])}",
        f"as wished: {'yes' if found['in_step'] else 'no'}",
    ]
    output.emit(found, "\n".join(lines))


@app.command("delete")
def delete(gateway: GatewayName) -> None:
    """Remove a gateway; with --force its peers end with it."""
    force = "true" if output.CONTEXT.force else "false"
    answer = call("DELETE", f"{_BASE}/{segment(gateway)}", query={"force": force})
    output.emit(answer, f"Gateway deleted; {len(answer['ended_peers'])} peers ended with it")


@app.command("rotate-key")
def rotate_key(
    gateway: GatewayName,
    overlap: Annotated[str, typer.Option("--overlap", help="How long both keys are valid.")] = "7d",
) -> None:
    """Begin another key, beside the former one; devices get it with their next configuration."""
    found = call("POST", f"{_BASE}/{segment(gateway)}/rotate-key", {"overlap": overlap})["gateway"]
    old, new = found["keys"]
    output.emit(
        found,
        f"Key {new['key_id']} on port {new['listen_port']}; {old['key_id']} is valid until "
        f"{output.moment(old['until'])}. Give devices their new configuration before that.",
    )


@app.command("rotate-token")
def rotate_token(gateway: GatewayName) -> None:
    """Print another token; the former one is refused from now on."""
    answer = call("POST", f"{_BASE}/{segment(gateway)}/rotate-token", {})
    output.emit(answer, answer["token"])


def endpoint(gateway: dict[str, Any]) -> str:
    """Where devices find a gateway."""
    host = f"[{gateway['host']}]" if ":" in gateway["host"] else gateway["host"]
    return f"{host}:{gateway['keys'][-1]['listen_port']}"


def _team(text: str) -> tuple[str, str]:
    team, equals, networks = text.partition("=")
    if not equals or not team or not networks:
        output.fail(f"--team-pool: `{text}` is not TEAM=NETWORK, such as group:ops=10.91.0.0/24")
    return team, networks
