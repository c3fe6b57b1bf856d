"""DERP maps from the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from coordinator.services import relay_maps
from coordinator.services.relay_maps import RelayMaps

MAP = '{"Regions": {"901": {"RegionID": 901, "RegionName": "%s", "Nodes": [{"HostName": "h"}]}}}'


class MapSite:
    """A web site with one document."""

    def __init__(self) -> None:
        self.text = MAP % "first"
        self.status = 200
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(text=self.text, status=self.status)


@asynccontextmanager
async def map_site() -> AsyncIterator[MapSite]:
    site = MapSite()
    app = web.Application()
    app.router.add_get("/derpmap", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    host, port = runner.addresses[0][:2]
    site.url = f"http://{host}:{port}/derpmap"
    try:
        yield site
    finally:
        await runner.cleanup()


def names(maps: RelayMaps) -> list[str]:
    return [region.region_name for region in maps.regions()]


async def test_what_was_fetched_is_kept_for_a_start_without_network(tmp_path: Path) -> None:
    async with map_site() as site:
        maps = RelayMaps([site.url], tmp_path)
        maps.recall()
        assert maps.regions() == []
        assert await maps.fetch()
        assert names(maps) == ["first"]
        url = site.url
    later = RelayMaps([url], tmp_path)
    later.recall()
    assert not await later.fetch()
    assert names(later) == ["first"]


async def test_a_bad_answer_changes_nothing(tmp_path: Path) -> None:
    async with map_site() as site:
        maps = RelayMaps([site.url], tmp_path)
        assert await maps.fetch()
        for site.text, site.status in (
            ("<html>", 200),
            ("[]", 200),
            (MAP % "other", 500),
            ("x" * (relay_maps.MAX_BYTES + 1), 200),
        ):
            assert not await maps.fetch()
            assert names(maps) == ["first"]
        site.text, site.status = MAP % "second", 200
        assert await maps.fetch()
        assert names(maps) == ["second"]


async def test_one_address_that_is_away_does_not_hide_the_others(tmp_path: Path) -> None:
    async with map_site() as site:
        maps = RelayMaps(["http://127.0.0.1:1/derpmap", site.url], tmp_path)
        assert not await maps.fetch()
        assert names(maps) == ["first"]


def test_a_damaged_copy_is_left_aside(tmp_path: Path) -> None:
    maps = RelayMaps(["http://x/"], tmp_path)
    maps._kept("http://x/").write_text("{")
    maps.recall()
    assert maps.regions() == []
