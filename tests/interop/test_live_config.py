"""Relays and DNS records that change while clients run: they hear of it at once."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.traffic import resolve
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import DOMAIN, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

RELAY = {"RegionID": 905, "RegionCode": "far", "RegionName": "Far away", "Nodes": [{"HostName": "relay.far"}]}


class _MapSite(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"Regions": {"905": RELAY}}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def map_url() -> Iterator[str]:
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _MapSite)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{site.server_port}/derpmap"
    site.shutdown()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dns") / "records.json"
    path.write_text("[]")
    return path


@pytest.fixture(scope="module")
def server(lab: Lab, map_url: str, records: Path) -> Server:
    started = lab.server(overrides={"derp": {"urls": [map_url]}, "dns": {"extra_records_path": str(records)}})
    started.create_user("ada")
    return started


@pytest.fixture(scope="module", params=[NEW, OLD])
def client(request: pytest.FixtureRequest, lab: Lab, server: Server) -> StockClient:
    made = lab.client(f"c{request.param.replace('.', '-')}", version=request.param, server=server)
    made.up(server.create_key("ada")["key"], accept_dns=True)
    return made


def test_a_map_from_the_network_reaches_clients(client: StockClient) -> None:
    def relays() -> str:
        return client.tailscale("debug", "derp-map")

    eventually(lambda: "Far away" in relays(), "the fetched relay to be known")
    assert "Lab relay" in relays()


def test_a_record_written_to_the_file_is_answered(client: StockClient, records: Path) -> None:
    name = f"grafana-{client.name}.{DOMAIN}"
    records.write_text(json.dumps([{"name": name, "type": "A", "value": "100.64.0.77"}]))
    eventually(lambda: resolve(client, name) == ["100.64.0.77"], "the record to be answered", within=10)
    records.write_text("[")  # half written: nothing changes
    assert resolve(client, name) == ["100.64.0.77"]
    records.write_text("[]")
    eventually(lambda: resolve(client, name) == ["rcode 3"], "the record to be gone", within=10)
