"""Database URLs."""

from __future__ import annotations

import signal
import sqlite3
import threading
import uuid
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError

from coordinator.store import engine
from coordinator.store.engine import _set_journal_mode, make_engine, postgres_url, reading, sqlite_url
from coordinator.store.store import Store
from coordinator.tailnet.errors import InvalidError, UnavailableError
from tests.support.postgres import USER, Cluster


def test_a_password_may_hold_anything() -> None:
    url = postgres_url("db", 5432, "c", "u", "p@:/ss", "true")
    assert url.password == "p@:/ss"
    assert url.query["ssl"] == "require"


def test_a_directory_is_a_socket() -> None:
    assert postgres_url("/run/postgresql", 5432, "c", "u").query["host"] == "/run/postgresql"


def test_a_wrong_ssl_word_is_named() -> None:
    with pytest.raises(InvalidError, match="maybe"):
        postgres_url("db", 5432, "c", "u", ssl="maybe")


def test_a_file_url() -> None:
    assert sqlite_url("/x/db.sqlite").database == "/x/db.sqlite"


@pytest.mark.parametrize(("wal", "journal"), [(True, "wal"), (False, "delete")])
async def test_sqlite_is_told_to_keep_what_it_commits(tmp_path: Path, wal: bool, journal: str) -> None:
    engine = make_engine(sqlite_url(tmp_path / "db.sqlite", wal=wal))
    try:
        async with engine.begin() as connection:
            pragmas = [
                await connection.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
    finally:
        await engine.dispose()
    assert pragmas == [journal, 2, 1, 5000]


async def test_ddl_is_rolled_back(url: URL) -> None:
    engine = make_engine(url)
    try:
        with pytest.raises(RuntimeError):
            async with engine.begin() as connection:
                await connection.execute(text("CREATE TABLE half (id BIGINT)"))
                raise RuntimeError("crash")
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE half (id BIGINT)"))
    finally:
        await engine.dispose()


async def test_a_reader_waits_for_no_writer_and_sees_one_moment(url: URL) -> None:
    engine = make_engine(url)
    count = text("SELECT count(*) FROM things")
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE things (id BIGINT)"))
        async with reading(engine).begin() as reader:
            assert await reader.scalar(count) == 0
            async with engine.begin() as writer:
                await writer.execute(text("INSERT INTO things VALUES (1)"))
            assert await reader.scalar(count) == 0
        async with reading(engine).begin() as reader:
            assert await reader.scalar(count) == 1
    finally:
        await engine.dispose()


async def test_a_sqlite_writer_holds_the_lock_from_its_first_moment(tmp_path: Path) -> None:
    engine = make_engine(sqlite_url(tmp_path / "db.sqlite"))
    try:
        async with engine.connect() as other:
            await other.execute(text("PRAGMA busy_timeout=0"))
            await other.commit()
            async with engine.begin():
                with pytest.raises(OperationalError, match="locked"):
                    await other.execute(text("SELECT 1"))
    finally:
        await engine.dispose()


@pytest.mark.postgres
async def test_postgresql_through_its_socket(cluster: Cluster) -> None:
    name = f"t{uuid.uuid4().hex}"
    cluster.create_database(name)
    engine = make_engine(postgres_url(str(cluster.directory), cluster.port, name, USER))
    try:
        async with engine.begin() as connection:
            assert await connection.scalar(text("SELECT inet_client_addr()")) is None
    finally:
        await engine.dispose()
        cluster.drop_database(name)


def test_a_new_database_that_another_server_is_filling_is_waited_for(tmp_path: Path) -> None:
    """Pitfall: SQLite answers a change of the journal mode with `database is locked` at once."""
    other = sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE t (x)")
    timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    timer.start()
    mine = sqlite3.connect(tmp_path / "db", isolation_level=None)
    _set_journal_mode(mine.cursor(), "WAL")
    assert mine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    timer.join()
    mine.close()
    other.close()


@pytest.mark.postgres
async def test_a_database_that_hangs_is_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SLOW_STATEMENT_SECONDS", 0.5)
    cluster.create_database("hangs")
    store = await Store.open(cluster.url("hangs"))
    cluster.signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match="it hangs"):
            await store.ping()
    finally:
        cluster.signal(signal.SIGCONT)
    await store.ping()
    await store.close()
