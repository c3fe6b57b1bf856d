"""Access for whoever comes through the tailnet: the source address of a connection is the identity.

Between machines of a tailnet a source address is proven by WireGuard, so nobody logs in here. That holds on
the server's own tailnet address alone, which is why the listener binds to nothing else. What an address
grants, any page in a browser on that machine could use; so hosts and origins are looked at: a request has to
be meant for this server by its name or address, and a change has to come from one of its own pages.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from aiohttp import web

from coordinator.services.machine_owner import person_behind
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ForbiddenError
from coordinator.tailnet.rights import may
from coordinator.tailnet.snapshot import NodeRecord
from coordinator.web.api.acting import acting_as
from coordinator.web.api.bearer import needed_right, personal
from coordinator.web.api.body import MAX_BODY
from coordinator.web.middleware import add_headers, errors, log_request
from coordinator.web.origin import take_origin
from coordinator.web.public import page
from coordinator.web.visitors import Visitor, visited_by

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Address = IPv4Address | IPv6Address

API = "/api/v1/"
ACCESS_API = API + "access/"
_CHANGES_NOTHING = ("GET", "HEAD")


class TailnetVisitors:
    """Who is at the other end of a connection that came through the tailnet.

    Args:
        tailnet: Whose machines count.
        server_url: Its host is one of the names this server is called by.
    """

    def __init__(self, tailnet: Tailnet, server_url: str) -> None:
        self._tailnet = tailnet
        self._server_host = urlsplit(server_url).hostname or ""

    async def __call__(self, request: web.Request) -> Visitor:
        """The machine and the person behind it.

        Raises:
            ForbiddenError: no machine of the tailnet has the source address, or it has no person in order.
        """
        source, own = _address(request, "peername"), _address(request, "sockname")
        if source is None or source == own:
            raise ForbiddenError("connections from the server's own machine prove nobody's identity")
        record = self._record(source)
        if record is None:
            raise ForbiddenError(
                f"{source} is no machine of this tailnet: come through Tailscale, from a machine of yours"
            )
        return Visitor(user=person_behind(self._tailnet.snapshot, record), node=record.node)

    def require_meant(self, request: web.Request) -> None:
        """The request names this server, and a change does not come from another site's page.

        Raises:
            ForbiddenError: a name that somebody else pointed here, or a page of another origin.
        """
        host = _hostname(request.host)
        if host not in self._own_names(_address(request, "sockname")):
            raise ForbiddenError(f"this server is not called `{host[:100]}`: use its address or its name")
        origin = request.headers.get("Origin")
        if request.method in _CHANGES_NOTHING or origin is None:
            return
        if urlsplit(origin).netloc.lower() != request.host.lower():
            raise ForbiddenError("this was sent by a page of another site")

    def _own_names(self, own: Address | None) -> set[str]:
        names = {self._server_host}
        if own is None:
            return names
        names.add(str(own))
        record = self._record(own)
        if record is not None:
            config = self._tailnet.world.config
            names |= {record.node.given_name, config.fqdn(record.node.given_name).rstrip(".")}
        return names

    def _record(self, address: Address) -> NodeRecord | None:
        records = self._tailnet.snapshot.records.values()
        return next((record for record in records if address in record.node.addresses), None)


def tailnet_app(visitors: TailnetVisitors, routes: Iterable[web.RouteDef]) -> web.Application:
    """The application of the listener inside the tailnet.

    Args:
        visitors: Says who comes.
        routes: The pages, and those of the API that are about access; handlers find the person with
            `visitor()`.
    """

    @web.middleware
    async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            visitors.require_meant(request)
            person = await visitors(request)
            _require_right(request, person)
        except ForbiddenError as error:
            if request.path.startswith(API):
                raise
            return page(403, "Not from here", f"<p>{html.escape(error.message)}</p>")
        assert person.node is not None
        with acting_as(Actor(kind="node", name=str(person.node.id))), visited_by(person):
            return await take_origin(request, handler)

    app = web.Application(client_max_size=MAX_BODY, middlewares=[log_request, errors, identified])
    app.on_response_prepare.append(_add_headers)
    app.router.add_routes(
        route for route in routes if not route.path.startswith(API) or route.path.startswith(ACCESS_API)
    )
    return app


def _require_right(request: web.Request, person: Visitor) -> None:
    """What people do not do in their own name needs a role, here as with an API key."""
    if not request.path.startswith(API) or personal(request.path):
        return
    right = needed_right(request.method, request.path)
    if right is not None and not may(person.user.role, right):
        raise ForbiddenError(f"the role {person.user.role} of `{person.user.login}` lacks the right {right}")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """As everywhere; but forms have to say which page they come from."""
    await add_headers(request, response)
    response.headers["Referrer-Policy"] = "same-origin"


def _address(request: web.Request, end: str) -> Address | None:
    """The address at one end of the connection itself; what proxies say of others does not count."""
    transport = request.transport
    found = None if transport is None else transport.get_extra_info(end)
    if not isinstance(found, tuple):
        return None
    address = ip_address(found[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _hostname(host: str) -> str:
    """A Host header without its port; an IPv6 address without brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
