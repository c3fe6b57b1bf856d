"""What an older release stored in the clear is sealed at the first start, once, and wiped."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store import plain_preshared_keys, rows, schema
from coordinator.store.engine import make_engine
from coordinator.store.migrate import migrate
from coordinator.store.store import Store
from coordinator.tailnet.state import ChangeSet
from tests.coordinator.store.test_preshared_seal import SECRET, seal, shared
from tests.support.wireguard_records import make_gateway, make_peer


async def older_database(url: URL, count: int = 3) -> None:
    """As the release before stored it, after many changes."""
    engine = make_engine(url)
    await migrate(engine, "0012")
    table = schema.wireguard_records
    records = [shared(number) for number in range(1, count + 1)]
    async with engine.begin() as connection:
        await connection.execute(insert(table), [rows.wireguard_row(each) for each in records])
        await connection.execute(insert(table), rows.wireguard_row(make_gateway()))
        await connection.execute(insert(table), rows.wireguard_row(make_peer(9)))
    for round_ in range(20):
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE wireguard_records SET document = document || ' '"))
            await connection.execute(
                insert(schema.policies),
                {"id": round_, "text": "x" * 3000, "created_at": make_peer().since, "author": "", "note": ""},
            )
    await engine.dispose()


def files(url: URL) -> bytes:
    return b"".join(path.read_bytes() for path in Path(str(url.database)).parent.glob("db.sqlite*"))


async def unwiped(store: Store) -> bool:
    return plain_preshared_keys.UNWIPED in (await store.load()).counters


async def test_the_first_start_seals_and_the_second_finds_nothing(
    url: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    await older_database(url)
    if url.get_backend_name() == "sqlite":
        assert SECRET.encode() in files(url)
    for said in (1, 0):
        store = await Store.open(url, seal=seal())
        state = await store.load()
        assert [state.wireguard[f"wgpeer:{number}"] for number in (1, 2, 3)] == [*map(shared, (1, 2, 3))]
        assert state.wireguard["wgpeer:9"] == make_peer(9)
        async with store._engine.connect() as connection:
            documents = list(await connection.scalars(select(schema.wireguard_records.c.document)))
        assert not any(SECRET in document for document in documents)
        assert not await unwiped(store)
        if url.get_backend_name() == "sqlite":
            assert SECRET.encode() not in files(url)
        await store.close()
        assert capsys.readouterr().out.count("are sealed now") == said


async def test_an_end_before_the_wiping_does_not_make_it_forgotten(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    await older_database(url)

    class CrashError(BaseException):
        """The process ends here."""

    async def crash(engine: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(plain_preshared_keys, "_wipe", crash)
        with pytest.raises(CrashError):
            await Store.open(url, seal=seal())
    store = await Store.open(url, seal=seal())
    assert not await unwiped(store)
    assert (await store.load()).wireguard["wgpeer:1"] == shared()
    await store.close()
    if url.get_backend_name() == "sqlite":
        assert SECRET.encode() not in files(url)


async def test_a_wiping_that_fails_does_not_keep_the_server_from_starting(
    url: URL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await older_database(url)

    async def fail(connection: AsyncConnection) -> None:
        raise OperationalError("VACUUM", {}, OSError("disk full"))

    with monkeypatch.context() as patch:
        patch.setattr(AsyncConnection, "get_raw_connection", fail)
        store = await Store.open(url, seal=seal())
    assert "will try at the next start" in capsys.readouterr().out
    assert await unwiped(store)
    # The note is no counter of anybody's, and does not keep anybody from counting.
    await store.commit(ChangeSet(counters={"nodes": 4}))
    await store.close()
    store = await Store.open(url, seal=seal())
    assert (await store.load()).counters == {"nodes": 4}
    await store.close()
