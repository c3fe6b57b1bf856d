"""Tests with sockets run on both event loops: uvloop in production, asyncio's own where uvloop is missing.

Their transports differ in when they write, how they count what is unsent, and which types they are.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_WITH_SOCKETS = {"test_connection", "test_server", "test_stun_server", "test_upgrade", "test_websocket"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in _WITH_SOCKETS:
        factories["uvloop"] = uvloop.new_event_loop
    return factories
