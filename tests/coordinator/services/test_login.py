"""Machines that wait for a person."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.services import login
from coordinator.services.login import PendingLogins
from coordinator.tailcfg.register import RegisterRequest
from coordinator.tailnet.errors import NotFoundError
from tests.support.builders import FakeClock, machine_key, node_key

REQUEST = RegisterRequest()


def pending() -> tuple[PendingLogins, FakeClock]:
    clock = FakeClock()
    numbers = iter(range(10_000))
    return PendingLogins("http://s/", clock, lambda size: f"{next(numbers):0{2 * size}x}"), clock


def begin(logins: PendingLogins, number: int) -> str:
    return logins.begin(machine_key(number), node_key(number), REQUEST)


def test_a_login_lasts_fifteen_minutes() -> None:
    logins, clock = pending()
    login_id = begin(logins, 1).rpartition("/")[2]
    clock.forward(minutes=14)
    assert logins.get(login_id).machine_key == machine_key(1)
    clock.forward(minutes=2)
    with pytest.raises(NotFoundError, match="tailscale up"):
        logins.get(login_id)


def test_a_thousand_and_more_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MAX_PENDING", 10)
    logins, _ = pending()
    urls = [begin(logins, number) for number in range(30)]
    logins.get(urls[-1].rpartition("/")[2])
    with pytest.raises(NotFoundError):
        logins.get(urls[0].rpartition("/")[2])


async def test_only_the_machine_itself_is_held() -> None:
    logins, _ = pending()
    url = begin(logins, 1)
    await asyncio.wait_for(logins.wait(url, machine_key(2), node_key(1)), 1)
    await asyncio.wait_for(logins.wait("http://s/register/unknown", machine_key(1), node_key(1)), 1)
    held = asyncio.create_task(logins.wait(url, machine_key(1), node_key(1)))
    await asyncio.sleep(0)
    assert not held.done()
    logins.approved(url.rpartition("/")[2])
    await asyncio.wait_for(held, 1)
