"""Relays and DNS that change while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.netmap.config import MapConfig
from coordinator.services import live_config
from coordinator.services.live_config import LiveConfig
from coordinator.services.relay_maps import RelayMaps
from coordinator.tailcfg.derp_map import DERPRegion
from coordinator.tailnet.errors import InvalidError
from tests.coordinator.services.test_relay_maps import MAP, map_site
from tests.support.tailnets import make_tailnet


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(tmp_path: Path) -> None:
    tailnet, _, _ = make_tailnet()
    path = tmp_path / "domain"
    path.write_text("one.lab")
    base = tailnet.configured

    def make(fetched: Sequence[DERPRegion]) -> MapConfig:
        if not path.read_text():
            raise InvalidError("empty")
        return replace(base, base_domain=path.read_text())

    live = LiveConfig(tailnet, make, watched=[path], maps=RelayMaps([], tmp_path), every=None)
    live.look()
    assert tailnet.configured is base
    for text, expected in (("two.lab", "two.lab"), ("", "two.lab"), ("three.lab", "three.lab")):
        path.write_text(text)
        live.look()
        assert tailnet.configured.base_domain == expected
    path.unlink()
    live.look()
    assert tailnet.configured.base_domain == "three.lab"


async def test_maps_are_fetched_until_they_are_there_and_then_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_config, "RETRY_SECONDS", 0.01)
    tailnet, _, _ = make_tailnet()
    base = tailnet.configured

    def make(fetched: Sequence[DERPRegion]) -> MapConfig:
        return replace(base, base_domain=" ".join(region.region_name for region in fetched))

    async with map_site() as site:
        site.status = 503
        every = timedelta(seconds=0.02)
        live = LiveConfig(tailnet, make, watched=[], maps=RelayMaps([site.url], tmp_path), every=every)
        live.start(fetched=False)
        await asyncio.sleep(0.05)
        site.status = 200
        await until(lambda: tailnet.configured.base_domain == "first")
        site.text = MAP % "second"
        await until(lambda: tailnet.configured.base_domain == "second")
        await live.close()
