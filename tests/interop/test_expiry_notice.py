"""A client says that its key expires soon, and takes it back when the key was extended."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually


def warnings(client: StockClient) -> str:
    return " ".join(client.status().get("Health") or ())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_user_is_warned_in_time(
    server: Server, new_client: NewClient, ada_key: str, version: str
) -> None:
    client = new_client("soon", version=version)
    client.up(ada_key)
    node = str(server.node(client.name)["id"])
    soon = datetime.now(UTC) + timedelta(hours=1)
    server.cli("nodes", "expire", "-i", node, "--expiry", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    eventually(lambda: f"expires at {soon:%Y-%m-%d %H:%M} UTC" in warnings(client), "the warning")
    assert client.state() == "Running"
    server.cli("nodes", "extend", "-i", node, "--for", "90d")
    eventually(lambda: "expires at" not in warnings(client), "the warning to be gone")
