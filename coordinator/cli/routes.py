"""`routes`: the group of releases up to 0.25, said with today's words.

Routes have no ids of their own any more; a node and a prefix name one.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coordinator.cli import nodes, output
from coordinator.cli.client import call
from coordinator.cli.preauthkeys import split

app = typer.Typer(
    no_args_is_help=True, help="Older spelling of `nodes list-routes` and `nodes approve-routes`."
)

Node = Annotated[int | None, typer.Option("-i", "--identifier", help="Id of the node.")]
Routes = Annotated[list[str] | None, typer.Option("-r", "--route", help="A prefix; may be repeated.")]

app.command("list")(nodes.list_routes)


@app.command("enable")
def enable(
    identifier: Node = None,
    routes: Routes = None,
    everything: Annotated[bool, typer.Option("-a", "--all", help="All that it advertises.")] = False,
) -> None:
    """Approve more routes of a node."""
    node = _node(identifier, routes)
    wanted = node["availableRoutes"] if everything else split(routes)
    _approve(node, [*node["approvedRoutes"], *wanted])


@app.command("disable")
def disable(identifier: Node = None, routes: Routes = None) -> None:
    """Take the approval of routes of a node back."""
    node = _node(identifier, routes)
    gone = set(split(routes))
    _approve(node, [route for route in node["approvedRoutes"] if route not in gone])


@app.command("delete")
def delete(identifier: Node = None, routes: Routes = None) -> None:
    """Explain what there is instead."""
    output.fail(
        "a route is there as long as its node advertises it; take its approval back: `routes disable`"
    )


def _node(identifier: int | None, routes: list[str] | None) -> dict[str, Any]:
    """The node meant, unless the call is one by route id."""
    if identifier is None or any(route.isdecimal() for route in split(routes)):
        output.fail(
            "routes have no ids any more: look at `nodes list-routes`, then run "
            "`nodes approve-routes --identifier NODE --routes PREFIX,PREFIX`"
        )
    node: dict[str, Any] = call("GET", f"/api/v1/node/{identifier}")["node"]
    return node


def _approve(node: dict[str, Any], routes: list[str]) -> None:
    answer = call("POST", f"/api/v1/node/{node['id']}/approve_routes", {"routes": routes})["node"]
    output.emit(
        answer, f"Approved on {answer['givenName']}: {', '.join(answer['approvedRoutes']) or 'nothing'}"
    )
