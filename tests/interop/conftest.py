"""Fixtures of the real-client tests: one lab per module, and every log in the report of a failure."""

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support import clients
from tests.support.lab import Lab
from tests.support.prerequisites import missing_for_interop, require
from tests.support.server_process import Server
from tests.support.stock_client import StockClient

_HERE = Path(__file__).parent
# Whatever clients do, none of this may be in a server's log.
_OUR_MISTAKE = re.compile(r"^.*(Traceback \(most recent|was never (awaited|retrieved))", re.M)
_COUNTS = pytest.StashKey[dict[str, int]]()
_open_labs: list[Lab] = []


class NewClient(Protocol):
    """What the fixture `new_client` gives to a test."""

    def __call__(self, stem: str, *, version: str = ..., in_memory: bool = ...) -> StockClient:
        """A client with its daemon started."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an interop test; no file can forget the mark."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log tails of all processes of the open labs to a failure."""
    report = yield
    if report.failed:
        for lab in _open_labs:
            report.sections.extend(lab.logs())
    return report


@pytest.fixture(scope="session")
def interop_ready() -> None:
    """Skip, or fail in CI, when this machine cannot run stock clients in namespaces."""
    require(missing_for_interop(), "tests with stock clients")


@pytest.fixture(scope="module")
def lab(interop_ready: None) -> Iterator[Lab]:
    """An empty network for the tests of one module."""
    with Lab.bridged() as opened:
        _open_labs.append(opened)
        try:
            yield opened
            logs = {server.url: server.log_text() for server in opened.servers}
        finally:
            _open_labs.remove(opened)
    for url, text in logs.items():
        start = _OUR_MISTAKE.search(text)
        assert start is None, f"the server {url} met an error of its own:\n{text[start.start() :][:3000]}"


@pytest.fixture(scope="module")
def server(lab: Lab) -> Server:
    """A running server with the users ada and bob, that allows everything."""
    started = lab.server()
    started.create_user("ada")
    started.create_user("bob")
    return started


@pytest.fixture(scope="module")
def ada_key(server: Server) -> str:
    """A reusable pre-auth key of ada."""
    return str(server.create_key("ada", reusable=True)["key"])


@pytest.fixture(scope="module")
def bob_key(server: Server) -> str:
    """A reusable pre-auth key of bob."""
    return str(server.create_key("bob", reusable=True)["key"])


@pytest.fixture
def new_client(lab: Lab, request: pytest.FixtureRequest) -> Iterator[NewClient]:
    """Clients for one test, ended with it: `new_client("late")` is `late1`, then `late2` and so on."""
    made = []
    counts = request.session.stash.setdefault(_COUNTS, {})

    def make(stem: str, *, version: str = clients.NEW, in_memory: bool = False) -> StockClient:
        counts[stem] = counts.get(stem, 0) + 1
        client = lab.client(f"{stem}{counts[stem]}", version=version, in_memory=in_memory)
        made.append(client)
        return client

    yield make
    for client in made:
        lab.retire(client)
