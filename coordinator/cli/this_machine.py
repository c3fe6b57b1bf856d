"""Commands on a machine of the tailnet, in the name of its owner: the machine itself proves who that is.

The stock client fetches an identity token made out to the server, and the token goes where an API key would
go. No key has to be given to anybody.
"""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from coordinator.cli.output import CONTEXT, CommandError

TIMEOUT_SECONDS = 30
_UNLOCK = {"TAILSCALE_USE_WIP_CODE": "1"}
"""Without it, Tailscale's command line (1.102.3 and before) refuses `id-token` as unfinished."""

FromThisMachine = Annotated[
    bool,
    typer.Option(
        "--from-this-machine",
        help="As the owner of this machine, for this machine; it is proven by Tailscale.",
    ),
]
ServerURL = Annotated[
    str, typer.Option("--server", metavar="URL", help="With --from-this-machine: the tailnet's server_url.")
]
Tailscale = Annotated[
    str, typer.Option("--tailscale", metavar="COMMAND", help="How Tailscale's command line is called here.")
]
_OPTIONS = {
    "from_this_machine": (FromThisMachine, False),
    "server": (ServerURL, ""),
    "tailscale": (Tailscale, "tailscale"),
}


def from_this_machine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options with which it acts for this machine's owner."""

    @wraps(command)
    def wrapped(**given: Any) -> None:
        wanted, server, tailscale = (given.pop(name) for name in _OPTIONS)
        if server and not wanted:
            raise CommandError("--server goes with --from-this-machine")
        if wanted:
            if not server:
                raise CommandError(
                    "--from-this-machine needs --server URL: the server this machine is logged in to"
                )
            address = _address(server)
            CONTEXT.remote = (address, identity_token(address, tailscale))
        command(**given)

    signature = inspect.signature(command)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    known = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_resolved(command, parameter))
        for parameter in signature.parameters.values()
    ]
    wrapped.__signature__ = signature.replace(parameters=[*known, *more])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*known, *more)} | {"return": None}
    return wrapped


def identity_token(audience: str, tailscale: str) -> str:
    """A token for somebody, from the client on this machine.

    Raises:
        CommandError: there is no client here, or it gets no token; with its own words.
    """
    try:
        command = [*shlex.split(tailscale), "id-token", audience]
        env = {**os.environ, **_UNLOCK}
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except ValueError as error:
        raise CommandError(f"--tailscale `{tailscale}`: {error}") from error
    except OSError as error:
        raise CommandError(
            f"Tailscale's command line cannot be run ({error.strerror}): say how with --tailscale"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`tailscale id-token` gave no answer within {TIMEOUT_SECONDS}s") from error
    token = done.stdout.strip()
    if done.returncode != 0 or not token:
        raise CommandError(f"Tailscale gave no identity token: {done.stderr.strip() or 'no answer'}")
    return token


def _address(server: str) -> str:
    """The server's URL as tokens are made out to it."""
    address = server if "://" in server else f"https://{server}"
    return address.rstrip("/")


def _resolved(command: Callable[..., None], parameter: inspect.Parameter) -> Any:
    """Annotations are texts here, and typer reads them where the wrapper is defined."""
    return inspect.get_annotations(command, eval_str=True).get(parameter.name, parameter.annotation)
