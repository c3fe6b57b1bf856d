"""Asking through the tailnet: the server's machine is a node, and whoever connects is who WireGuard says."""

import json
import re
from typing import Any

import pytest

from tests.support import clients
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

PORT = 18082
HUB = "100.64.0.1"
POLICY: dict[str, Any] = {
    "tagOwners": {"tag:hub": [], "tag:mgmt": []},
    "acls": [{"action": "accept", "src": ["*"], "dst": [f"tag:hub:{PORT}"]}],
    "access": {
        "profiles": {"mgmt": {"src": ["ada@"], "dst": ["tag:mgmt:*"], "approvers": ["bob@"]}},
    },
}


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Server:
    """A server in a namespace of its own, which is the tailnet's first node."""
    # Gives this side of the network an address, over which the tests look at the server.
    lab.servers.remove(lab.server(start=False))
    host = lab.host("hub")
    folder = host.folder / "server"
    folder.mkdir()
    started = Server(
        folder=folder,
        address=host.address,
        policy=POLICY,
        overrides={"access": {"tailnet_listen_addr": f"{HUB}:{PORT}"}},
        prefix=host.prefix,
    )
    lab.servers.append(started)
    started.start()
    for name in ("ada", "bob"):
        started.create_user(name)
    binaries = clients.ensure(clients.NEW)
    node = StockClient(host=host, binaries=binaries, login_server=started.url)
    lab.clients.append(node)
    node.start()
    node.up(str(started.create_key(tags=["tag:hub"])["key"]))
    assert node.ipv4 == HUB
    return started


def ask(
    client: StockClient, method: str, path: str, body: str = "", *, address: str = HUB, source: str = ""
) -> tuple[int, Any]:
    """One request from a client's machine; status 0 when there is no answer."""
    more = ("--interface", source) if source else ()
    where = f"http://{address}:{PORT}/api/v1/access/{path}"
    done = client.run(
        "curl", "-s", "-m", "5", *more, "-X", method, "-d", body, "-w", "\n%{http_code}", where, timeout=20
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status or 0), json.loads(text or "null")


def test_the_tailnet_address_is_the_person(lab: Lab, hub: Server) -> None:
    adas, bobs = lab.client("adas", version=clients.NEW), lab.client("bobs", version=clients.OLD)
    target = lab.client("target", version=clients.OLD)
    adas.up(str(hub.create_key("ada")["key"]))
    bobs.up(str(hub.create_key("bob")["key"]))
    target.up(str(hub.create_key(tags=["tag:mgmt"])["key"]))
    eventually(lambda: ask(adas, "GET", "whoami")[0] == 200, "the way to the server", within=15)
    assert ask(adas, "GET", "whoami")[1]["user"] == "ada"
    status, answer = ask(adas, "POST", "requests", '{"profile": "mgmt"}')
    assert (status, answer["request"]["state"]) == (200, "requested"), answer
    number = answer["request"]["id"]
    assert ask(adas, "POST", f"requests/{number}/approve")[0] == 403
    eventually(lambda: ask(bobs, "GET", "whoami")[0] == 200, "bob's way to the server", within=15)
    status, answer = ask(bobs, "POST", f"requests/{number}/approve")
    assert (status, answer["request"]["state"]) == (200, "active"), answer
    eventually(lambda: "target" in adas.peers(), "the target at ada's laptop", within=1)
    status, answer = ask(target, "GET", "whoami")
    assert (status, "not to a person" in answer["detail"]) == (403, True)


def test_from_outside_of_the_tailnet_there_is_nothing(lab: Lab, hub: Server) -> None:
    outside = lab.client("outside", start=False)
    lab.clients.remove(outside)
    assert ask(outside, "GET", "whoami", address=hub.address)[0] == 0
    routed = outside.run("ip", "route", "add", HUB, "via", hub.address)
    assert routed.returncode == 0, routed.stderr
    assert ask(outside, "GET", "whoami")[0] in (0, 403)
    # With ada's address, from somewhere else than ada's machine.
    forged = next(node for node in hub.cli("nodes", "list") if node["givenName"] == "adas")["ipAddresses"][0]
    assert outside.run("ip", "address", "add", f"{forged}/32", "dev", "eth0").returncode == 0
    assert ask(outside, "GET", "whoami", source=forged)[0] == 0


def test_the_page_inside_the_tailnet(lab: Lab, hub: Server) -> None:
    adas = lab.client("reader", version=clients.OLD)
    adas.up(str(hub.create_key("ada")["key"]))

    def page(path: str = "", *fields: str) -> str:
        more = [part for field in fields for part in ("--data-urlencode", field)]
        url = f"http://{HUB}:{PORT}/access{path}"
        return adas.run("curl", "-s", "-L", "-m", "5", *more, url, timeout=20).stdout

    shown = str(eventually(lambda: found if "You are" in (found := page()) else "", "the page", within=15))
    assert "You are <b>ada</b>, at reader" in shown
    csrf, node = (
        re.search(pattern, shown) for pattern in (r'name="csrf" value="([^"]+)"', r'<option value="(\d+)"')
    )
    assert csrf is not None
    assert node is not None
    form = ("profile=mgmt", f"node={node[1]}", "reason=disk full")
    assert "not from a page of yours" in page("/ask", *form)
    assert "Your request is made." in page("/ask", f"csrf={csrf[1]}", *form)
    newest = hub.cli("access", "list")[0]
    assert (newest["user"], newest["node"], newest["reason"]) == ("ada", node[1], "disk full")
