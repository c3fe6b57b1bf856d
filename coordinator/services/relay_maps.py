"""DERP maps from the network (`derp.urls`): fetched, checked, and kept for a start without network."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import httpx2
import structlog

from coordinator.netmap.derp import regions_from_document
from coordinator.tailcfg.derp_map import DERPRegion
from coordinator.tailnet.errors import CoordinatorError, InvalidError, UnavailableError

log = structlog.get_logger(__name__)

FETCH_SECONDS = 10.0
MAX_BYTES = 1 << 20


class RelayMaps:
    """The maps at some addresses.

    Args:
        urls: Where they are; later ones win over earlier ones with the same region.
        folder: Where what was fetched last is kept.
    """

    def __init__(self, urls: Sequence[str], folder: Path) -> None:
        self._urls = urls
        self._folder = folder
        self._regions: dict[str, list[DERPRegion]] = {}

    def regions(self) -> list[DERPRegion]:
        """What is known of all of them, in the order of their addresses."""
        return [region for url in self._urls for region in self._regions.get(url, ())]

    def recall(self) -> None:
        """Take what an earlier run has kept."""
        for url in self._urls:
            path = self._kept(url)
            try:
                self._regions[url] = regions_from_document(json.loads(path.read_bytes()), str(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, InvalidError) as error:
                log.warning("kept DERP map not usable", path=str(path), error=str(error))

    async def fetch(self) -> bool:
        """Fetch all of them; True if every one answered. Of those that did not, what is known stays."""
        answers = await asyncio.gather(*map(self._fetch_one, self._urls), return_exceptions=True)
        whole = True
        for url, answer in zip(self._urls, answers, strict=True):
            if isinstance(answer, CoordinatorError):
                whole = False
                log.warning("DERP map not fetched, will try again", url=url, error=answer.message)
            elif isinstance(answer, BaseException):
                raise answer
        return whole

    async def _fetch_one(self, url: str) -> None:
        content = await _download(url)
        try:
            self._regions[url] = regions_from_document(json.loads(content), url)
        except ValueError as error:
            raise UnavailableError(f"no JSON: {error}") from error
        path = self._kept(url)
        try:
            await asyncio.to_thread(_replace, path, content)
        except OSError as error:
            log.warning("DERP map not kept", path=str(path), error=str(error))

    def _kept(self, url: str) -> Path:
        return self._folder / f"derpmap-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"


async def _download(url: str) -> bytes:
    """A document of bounded size.

    Raises:
        UnavailableError: there is none.
    """
    content = bytearray()
    try:
        async with (
            httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=True) as client,
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise UnavailableError("the document is larger than 1 MiB")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UnavailableError(str(error) or type(error).__name__) from error
    return bytes(content)


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
