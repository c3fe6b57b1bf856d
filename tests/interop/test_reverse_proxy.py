"""nginx before the server, with the configuration that is shipped: clients work, and are known by address."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.child_process import ChildProcess
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.prerequisites import require
from tests.support.server_process import Server
from tests.support.waiting import eventually

CONFIG = Path(__file__).parents[2] / "config" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
PORT = 18081


@pytest.fixture(scope="module")
def server(lab: Lab) -> Server:
    """Trusts the proxy, which runs on its own machine."""
    server = lab.server(start=False)
    settings = yaml.safe_load(server.config_path.read_text())
    settings["trusted_proxies"] = [server.address]
    server.config_path.write_text(yaml.safe_dump(settings))
    server.start()
    server.create_user("ada")
    return server


@pytest.fixture(scope="module")
def proxy(lab: Lab, server: Server) -> Iterator[str]:
    """nginx in the foreground; gives its URL."""
    require([] if NGINX else ["no nginx"], "a test behind nginx")
    folder = lab.folder / "nginx"
    folder.mkdir()
    site = CONFIG.read_text()
    site = re.sub(r"^ *(ssl_certificate\w*|server_name) .*\n", "", site, flags=re.M)
    site = site.replace("listen 443 ssl;", f"listen {server.address}:{PORT};")
    site = site.replace("http://127.0.0.1:8080", server.url)
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr info; user root;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
        + f"{site}}}\n"
    )
    process = ChildProcess(name="nginx", log_path=folder / "log")
    process.start([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], env=dict(os.environ))
    try:
        eventually(lambda: (folder / "pid").exists(), "nginx to start", within=10)
        yield f"http://{server.address}:{PORT}"
    finally:
        process.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_joins_through_nginx_and_is_known_by_its_address(
    lab: Lab, server: Server, proxy: str, version: str
) -> None:
    name = f"behind{VERSIONS.index(version)}"
    client = lab.client(name, version=version, login_server=proxy)
    client.up(str(server.create_key("ada")["key"]))
    client.wait_state("Running")
    entries = server.cli("audit", "list", "--action", "node.register", "--limit", "1")
    assert entries[0]["source"] == client.host.address
    client.kill()


def test_peers_see_each_other_and_a_change_passes_at_once(lab: Lab, server: Server, proxy: str) -> None:
    key = str(server.create_key("ada", reusable=True)["key"])
    one, two = (lab.client(name, login_server=proxy) for name in ("one", "two"))
    lab.join(key, one, two)
    eventually(lambda: "two" in one.peers(), "one to see two")
    one.ping(two.ipv4)
    server.cli("nodes", "rename", "other", "--identifier", server.node("two")["id"])
    eventually(
        lambda: any("other." in peer["DNSName"] for peer in one.peers().values()), "the new name", within=1.5
    )


def test_wrong_keys_from_behind_the_proxy_name_the_client(lab: Lab, server: Server, proxy: str) -> None:
    client = lab.client("guesser", login_server=proxy)
    client.up_refused("hskey-auth-" + "0" * 12 + "-" + "0" * 64)
    entries = server.cli("audit", "list", "--action", "node.register.refused", "--limit", "1")
    assert entries[0]["source"] == client.host.address
