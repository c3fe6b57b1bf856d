"""Every store test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from coordinator.store.engine import sqlite_url
from coordinator.store.store import Store
from tests.support.postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "db.sqlite")
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    name = f"t{uuid.uuid4().hex}"
    cluster.create_database(name)
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture
async def store(url: URL) -> AsyncIterator[Store]:
    opened = await Store.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def shared_url(cluster: Cluster) -> Iterator[URL]:
    """A database that several instances may share."""
    name = f"t{uuid.uuid4().hex}"
    cluster.create_database(name)
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture
async def stores(shared_url: URL) -> AsyncIterator[list[Store]]:
    """Those of two instances."""
    opened = [await Store.open(shared_url) for _ in "ab"]
    for store, name in zip(opened, "ab", strict=True):
        store.instance = name
    yield opened
    for store in opened:
        await store.close()
