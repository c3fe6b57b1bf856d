"""nginx before two instances with one address: clients care neither which they meet, nor that one ends."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.interop.test_postgres import set_policy
from tests.interop.test_reverse_proxy import CONFIG, NGINX
from tests.support.child_process import ChildProcess
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.postgres import USER, Cluster, running_cluster
from tests.support.prerequisites import require
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

DATABASE, PORT = "balanced", 18082
REGIONS = (901, 902)
PROFILE = {
    "src": ["ada@"],
    "dst": ["tag:mgmt:*"],
    "approvers": ["bob@"],
    "defaultDuration": "1h",
    "maxDuration": "4h",
}
POLICY = {
    "tagOwners": {"tag:mgmt": []},
    "acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:member:*"]}],
    "access": {"profiles": {"mgmt": PROFILE}},
}


class Site:
    """Two instances, the database they share, and the address clients know."""

    def __init__(self, lab: Lab, cluster: Cluster) -> None:
        self.lab, self.cluster = lab, cluster
        self.servers = [self.add(region) for region in REGIONS]
        self.url = f"http://{self.servers[0].address}:{PORT}"
        for server in self.servers:
            self.configure(server)
        (self.servers[1].folder / "noise.key").unlink(missing_ok=True)
        self.servers[0].start()
        shutil.copy(self.servers[0].folder / "noise.key", self.servers[1].folder / "noise.key")
        self.servers[1].start()

    def add(self, region: int) -> Server:
        place = {"host": "127.0.0.1", "port": self.cluster.port, "name": DATABASE, "user": USER, "pass": ""}
        server = self.lab.server(
            policy_mode="database",
            overrides={"database": {"type": "postgres", "postgres": place}},
            start=False,
        )
        self.set_region(server, region)
        return server

    def configure(self, server: Server, **settings: Any) -> None:
        """Settings beside the sections; clients know all instances by one address."""
        document = yaml.safe_load(server.config_path.read_text())
        proxy = self.servers[0].address
        document |= {"server_url": self.url, "trusted_proxies": [proxy], **settings}
        server.config_path.write_text(yaml.safe_dump(document))

    @staticmethod
    def set_region(server: Server, region: int) -> None:
        document = yaml.safe_load(server.config_path.read_text())
        document["derp"]["server"] |= {"region_id": region, "region_code": f"r{region}"}
        server.config_path.write_text(yaml.safe_dump(document))

    def homes(self) -> dict[str, int]:
        """Which region's instance holds the stream of each client, by name."""
        rows = self.cluster.run(
            "SELECT nodes.hostname, instances.relay FROM live_nodes JOIN nodes ON nodes.id = node_id "
            "JOIN instances ON instances.id = live_nodes.instance WHERE connected",
            DATABASE,
        )
        found = [line.partition("|") for line in rows.splitlines()]
        return {name: json.loads(relay)["region_id"] for name, _, relay in found}

    def at(self, region: int) -> Server:
        return self.servers[REGIONS.index(region)]


@pytest.fixture(scope="module")
def site(interop_ready: None, lab: Lab) -> Iterator[Site]:
    require([] if NGINX else ["no nginx"], "a test behind nginx")
    with running_cluster() as cluster:
        cluster.create_database(DATABASE)
        made = Site(lab, cluster)
        with balancer(lab, made):
            yield made
        for server in made.servers:
            server.stop()


@contextmanager
def balancer(lab: Lab, site: Site) -> Iterator[None]:
    """nginx with the configuration that is shipped, and both instances behind it."""
    folder = lab.folder / "nginx"
    folder.mkdir()
    text = CONFIG.read_text()
    text = re.sub(r"^ *(ssl_certificate\w*|server_name) .*\n", "", text, flags=re.M)
    text = text.replace("listen 443 ssl;", f"listen {site.servers[0].address}:{PORT};")
    text = text.replace("http://127.0.0.1:8080", "http://instances")
    behind = "".join(
        f"server {server.address}:{server.ports.http} max_fails=1 fail_timeout=2s;" for server in site.servers
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr info; user root;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
        + f"upstream instances {{ least_conn; {behind} }}\n{text}}}\n"
    )
    process = ChildProcess(name="nginx", log_path=folder / "log")
    process.start([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], env=dict(os.environ))
    try:
        eventually(lambda: (folder / "pid").exists(), "nginx to start", within=10)
        yield
    finally:
        process.stop()


@pytest.fixture(scope="module")
def crowd(
    lab: Lab, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StockClient, StockClient, StockClient]:
    """Two laptops of ada at different instances, and a management server at one of these."""
    first = site.servers[0]
    for name in ("ada", "bob"):
        first.create_user(name)
    set_policy(first, tmp_path_factory.mktemp("policy"), json.dumps(POLICY))
    key = first.create_key("ada", reusable=True)["key"]
    one, two, target = (
        lab.client(name, version=version, login_server=site.url)
        for name, version in (("one", NEW), ("two", OLD), ("target", NEW))
    )
    one.up(str(key))
    eventually(lambda: "one" in site.homes(), "the first to be somewhere")
    two.up(str(key))
    target.up(str(site.servers[1].create_key(tags=("tag:mgmt",))["key"]))
    one.wait_peers("two")
    two.wait_peers("one")
    eventually(lambda: len(site.homes()) == 3, "all to be somewhere")
    return one, two, target


def regions(client: StockClient) -> dict[str, str]:
    """Region codes by id, as a client knows them."""
    document = json.loads(client.tailscale("debug", "derp-map"))
    return {number: region["RegionCode"] for number, region in document["Regions"].items()}


def seconds_until(probe: Any, what: str, within: float) -> float:
    began = time.monotonic()
    eventually(probe, what, within=within, every=0.01)
    return time.monotonic() - began


@contextmanager
def ping_without_loss(client: StockClient, address: str) -> Iterator[None]:
    """Traffic between clients goes on meanwhile, all of it."""
    pinging = client.spawn("ping", "-i", "0.1", "-q", address)
    try:
        yield
    finally:
        pinging.send_signal(2)
        said, _ = pinging.communicate(timeout=10)
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", said).groups()  # type: ignore[union-attr]
    print(f"{received} of {sent} pings answered")
    assert int(sent) > 5
    assert int(sent) - int(received) <= 1, said


def test_clients_of_one_address_are_at_both_instances(
    site: Site, crowd: tuple[StockClient, StockClient, StockClient]
) -> None:
    one, two, _ = crowd
    assert set(site.homes().values()) == set(REGIONS)
    assert site.homes()["one"] != site.homes()["two"]
    one.ping(two.ipv4)


def test_both_instances_tell_of_both_relays(
    site: Site, crowd: tuple[StockClient, StockClient, StockClient]
) -> None:
    both = {"901": "r901", "902": "r902"}
    eventually(lambda: all(regions(client) == both for client in crowd), "both relays at all clients")


def test_asked_at_one_approved_at_the_other_open_at_both_within_a_second(
    site: Site, crowd: tuple[StockClient, StockClient, StockClient]
) -> None:
    target, homes = crowd[2], site.homes()
    laptop = next(each for each in crowd[:2] if homes[each.name] != homes["target"])
    one, other = site.at(homes[laptop.name]), site.at(homes["target"])
    for asking, deciding in ((one, other), (other, one)):
        asked = asking.cli("access", "request", "mgmt", "--user", "ada")
        deciding.cli("access", "approve", str(asked["id"]), "--as", "bob")
        opened = seconds_until(lambda: "target" in laptop.peers(), "the target at the laptop", 5)
        opened += seconds_until(lambda: laptop.name in target.peers(), "the laptop at the target", 5)
        laptop.ping(target.ipv4, until_direct=False)
        asking.cli("access", "revoke", str(asked["id"]), "--as", "bob")
        closed = seconds_until(lambda: "target" not in laptop.peers(), "the target to be gone", 5)
        closed += seconds_until(lambda: not target.peers(), "the laptop to be gone", 5)
        print(f"open {opened:.2f} s, closed {closed:.2f} s after the command returned")
        assert max(opened, closed) < 1


def test_another_noise_key_behind_the_same_address_is_refused(site: Site) -> None:
    stranger = site.add(903)
    site.configure(stranger)
    stranger.start(wait=False)
    eventually(lambda: not stranger.running, "the stranger to give up", within=25)
    assert f"another instance serves {site.url} with another Noise key" in stranger.log_text()
    assert "noise.private_key_path" in stranger.log_text()
    site.lab.servers.remove(stranger)


@pytest.mark.parametrize("way", ["kill -9", "graceful stop"])
def test_clients_of_an_instance_that_ends_come_back_at_the_other(
    site: Site, crowd: tuple[StockClient, StockClient, StockClient], way: str
) -> None:
    one, two, _ = crowd
    homes = site.homes()
    ending, staying = homes["one"], homes["two"] if homes["two"] != homes["one"] else None
    staying = staying or next(each for each in REGIONS if each != ending)
    one.ping(two.ipv4)
    with ping_without_loss(one, two.ipv4):
        if way == "kill -9":
            site.at(ending).kill9()
        else:
            assert site.at(ending).stop() == 0
        took = seconds_until(
            lambda: set(site.homes().values()) == {staying} and len(site.homes()) == 3,
            "everybody to be at the other instance",
            60,
        )
        print(f"{way}: everybody at the other after {took:.1f} s")
        time.sleep(1)
    assert all(node["online"] for node in site.at(staying).nodes())
    site.at(staying).cli("nodes", "rename", way.replace(" ", ""), "--identifier", str(two_id(site, staying)))
    eventually(lambda: way.replace(" ", "") in json.dumps(one.peers()), "a change to pass", within=3)
    site.at(ending).start()
    again = site.at(ending)
    eventually(lambda: all(node["online"] for node in again.nodes()), "it to know who is online", within=5)
    # Some go home, so that the next one has somebody to lose.
    one.tailscale("down")
    eventually(lambda: "one" not in site.homes(), "one to leave", within=15)
    one.up()
    eventually(lambda: site.homes().get("one") == ending, "one to be back", within=15)


def two_id(site: Site, region: int) -> int:
    return int(site.at(region).node("two")["id"])


def test_of_one_region_both_tell_the_same_relay(
    site: Site, crowd: tuple[StockClient, StockClient, StockClient]
) -> None:
    second = site.servers[1]
    assert second.stop() == 0
    site.set_region(second, REGIONS[0])
    second.start()
    only = {"901": "r901"}
    eventually(lambda: all(regions(client) == only for client in crowd), "one relay", within=10)
    relay = crowd[0].tailscale("debug", "derp-map")
    assert site.servers[0].address in relay
    for server in site.servers:
        key = server.create_key("ada", reusable=True)["key"]
        late = site.lab.client(f"late{site.servers.index(server)}", login_server=site.url)
        late.up(str(key))
        assert json.loads(late.tailscale("debug", "derp-map")) == json.loads(relay)
