"""Messages against a real little HTTP server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from coordinator.audit.entry import SealedEntry
from coordinator.audit.sinks import SinkError
from coordinator.tailnet.errors import ConflictError
from coordinator.webhooks.config import HookConfig
from coordinator.webhooks.delivery import WebhookSink
from coordinator.webhooks.events import AccessEvent
from coordinator.webhooks.messages import Buttons
from tests.support.audit_entries import make_chain
from tests.support.builders import NOW, FakeClock
from tests.support.ports import free_port
from tests.support.webhooks import SECRET, make_event, make_hook, receiver

CHAIN, _ = make_chain(4)


async def describe(entry: SealedEntry) -> AccessEvent | None:
    return make_event(id=entry.id) if entry.id != 2 else None


def offer(hook: HookConfig, event: AccessEvent) -> Buttons:
    return Buttons(approve="yes", deny="no", url=hook.answer_url)


async def link(hook: HookConfig, event: AccessEvent) -> Sequence[Mapping[str, str]]:
    return [{"user": "bob", "approve": "a", "deny": "d"}]


def make_sink(clock: FakeClock | None = None, **changes: object) -> WebhookSink:
    return WebhookSink(
        make_hook(**changes), describe=describe, offer=offer, link=link, clock=clock or FakeClock()
    )


async def test_programs_get_signed_json() -> None:
    async with receiver() as got:
        await make_sink(url=got.url).send(CHAIN)
    assert [each["id"] for each in got.documents] == [1, 3, 4]
    headers, body = got.headers[0], got.bodies[0]
    timestamp = headers["X-Coordinator-Timestamp"]
    assert timestamp == str(int(NOW.timestamp()))
    digest = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Coordinator-Signature"] == f"sha256={digest}"
    assert got.documents[0]["answer"]["url"] == "https://vpn.example/access/hooks/chat"
    assert "links" not in got.documents[0]


async def test_each_kind_has_its_form() -> None:
    async with receiver() as got:
        await make_sink(url=got.url, kind="slack").send(CHAIN[:1])
        await make_sink(url=got.url, kind="slack", secret="").send(CHAIN[:1])
        await make_sink(url=got.url, kind="mattermost", secret="").send(CHAIN[:1])
        await make_sink(url=got.url, links=True).send(CHAIN[:1])
    slack, silent, mattermost, generic = got.documents
    assert [len(each["blocks"]) for each in (slack, silent)] == [3, 2]
    assert len(mattermost["attachments"][0]["actions"]) == 2
    assert generic["links"] == [{"user": "bob", "approve": "a", "deny": "d"}]
    assert "X-Coordinator-Signature" not in got.headers[0]


async def test_only_wanted_events() -> None:
    async with receiver() as got:
        await make_sink(url=got.url, events=frozenset({"ended"})).send(CHAIN)
    assert got.bodies == []


async def test_what_failed_comes_again_and_nothing_else() -> None:
    async with receiver() as got:
        got.statuses = [200, 503, 200]
        sink = make_sink(url=got.url)
        with pytest.raises(SinkError, match="answered 503"):
            await sink.send(CHAIN)
        await sink.send(CHAIN)
    assert [each["id"] for each in got.documents] == [1, 3, 3, 4]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_message_nobody_can_use_holds_up_no_other(status: int) -> None:
    async with receiver() as got:
        got.statuses = [status, 200]
        await make_sink(url=got.url).send(CHAIN)
    assert len(got.bodies) == 3


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500])
async def test_every_other_answer_is_a_failure(status: int) -> None:
    async with receiver() as got:
        got.statuses = [status]
        with pytest.raises(SinkError):
            await make_sink(url=got.url).send(CHAIN)


async def test_a_dead_receiver_and_its_secret_address() -> None:
    sink = make_sink(url=f"http://127.0.0.1:{free_port()}/T000/hush")
    with pytest.raises(SinkError) as caught:
        await sink.send(CHAIN)
    assert "hush" not in str(caught.value)
    assert sink.name == "access:chat"


async def test_what_is_too_old_is_left_out() -> None:
    clock = FakeClock(NOW + timedelta(hours=25))
    sink = make_sink(clock, url=f"http://127.0.0.1:{free_port()}/in")
    await sink.send(CHAIN)


async def test_links_are_made_once_and_may_be_missing() -> None:
    made: list[int] = []

    async def count(hook: HookConfig, event: AccessEvent) -> Sequence[Mapping[str, str]]:
        made.append(event.id)
        if event.id == 3:
            raise ConflictError("nobody is left")
        return [{"user": "bob"}]

    async with receiver() as got:
        got.statuses = [503, 200]
        hook = make_hook(url=got.url, links=True)
        sink = WebhookSink(hook, describe=describe, offer=offer, link=count, clock=FakeClock())
        with pytest.raises(SinkError):
            await sink.send(CHAIN[:3])
        await sink.send(CHAIN[:3])
    assert made == [1, 3]
    assert ["links" in each for each in got.documents] == [True, True, False]
