"""All commands, and the program's outermost frame."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from coordinator.cli import (
    access,
    apikeys,
    audit,
    inventory,
    nodes,
    output,
    policy,
    preauthkeys,
    routes,
    users,
    wireguard,
)
from coordinator.cli.arguments import prepare
from coordinator.cli.client import call
from coordinator.cli.gateway import PASSED_ON, gateway
from coordinator.cli.output import CommandError
from coordinator.cli.serve import configtest, serve
from coordinator.version import version_document

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="A self-hosted control plane for Tailscale clients. Anywhere: -c FILE, -o FORMAT, --force, "
    "--audit-reason TEXT (kept with what the command changes).",
)
auth = typer.Typer(no_args_is_help=True, help="Machines that wait for a person.")
generate = typer.Typer(no_args_is_help=True, help="Keys.")
app.add_typer(users.app, name="users")
app.add_typer(nodes.app, name="nodes")
app.add_typer(preauthkeys.app, name="preauthkeys")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.add_typer(routes.app, name="routes", hidden=True)
app.add_typer(access.app, name="access")
app.add_typer(apikeys.app, name="apikeys")
app.add_typer(wireguard.app, name="wireguard")
app.add_typer(inventory.app, name="inventory")
app.add_typer(auth, name="auth")
app.add_typer(generate, name="generate")
app.command("serve")(serve)
app.command("configtest")(configtest)
app.command("gateway", context_settings=PASSED_ON, add_help_option=False)(gateway)


@app.command("version")
def version() -> None:
    """Print the version."""
    document = version_document()
    output.emit(document, str(document["version"]))


@app.command("health")
def health() -> None:
    """Ask the running server whether its database answers."""
    document = call("GET", "/api/v1/health")
    if not document["databaseConnectivity"]:
        output.fail("the database does not answer")
    output.emit(document, "healthy")


@auth.command("register")
def auth_register(
    user: Annotated[str, typer.Option("-u", "--user", help="Owner: id, name or e-mail.")],
    auth_id: Annotated[str, typer.Option("--auth-id", help="From the page the machine shows.")],
) -> None:
    """Let a waiting machine in, for a user."""
    nodes.approve(user, auth_id)


@auth.command("approve")
def auth_approve(
    auth_id: Annotated[str, typer.Option("--auth-id", help="From the page of the login.")],
) -> None:
    """Confirm an SSH session that waits (check mode)."""
    call("POST", "/api/v1/auth/approve", {"authId": auth_id})
    output.emit({"Result": "approved"}, "Approved.")


@auth.command("reject")
def auth_reject(
    auth_id: Annotated[str, typer.Option("--auth-id", help="From the page of the login.")],
) -> None:
    """Refuse an SSH session or a machine that waits."""
    call("POST", "/api/v1/auth/reject", {"authId": auth_id})
    output.emit({"Result": "rejected"}, "Rejected.")


@generate.command("private-key")
def generate_private_key() -> None:
    """Print a new private key."""
    from coordinator.noise.keys import clamp, format_private_key

    text = format_private_key(clamp(os.urandom(32)))
    output.emit({"private_key": text}, text)


def main() -> None:
    """Run the command line; exit code 0, 1, or 2 for a wrong call."""
    try:
        arguments = prepare(sys.argv[1:])
        # Without its standalone mode typer hands an exit code back instead of raising it.
        result = app(arguments, standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except CommandError as error:
        _leave(str(error), 1)
    except typer.Abort:
        sys.exit(1)
    except BrokenPipeError:
        # The reader of a pipe left (`| head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # typer's usage errors are click's, wherever this release keeps them.
        show = getattr(error, "show", None)
        if show is None:
            raise
        if output.machine():
            _leave(getattr(error, "message", str(error)), 2)
        show()
        sys.exit(2)


def _leave(message: str, code: int) -> None:
    try:
        output.fail(message)
    except typer.Exit:
        sys.exit(code)
