"""Webhooks of a whole server: messages go out, answers come in, each signed by hand here."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.support.access import POLICY, access_server, ask
from tests.support.server_in_process import Running, running_server
from tests.support.webhooks import SECRET, Receiver, receiver


@asynccontextmanager
async def hooked(
    tmp_path: Path, kind: str, policy: str = POLICY, **more: Any
) -> AsyncIterator[tuple[Running, Receiver]]:
    async with receiver() as got:
        item: dict[str, Any] = {"kind": kind, "url": got.url, "users": {"U1": "bob", "U9": "alice"}}
        if kind != "mattermost":
            item["secret"] = SECRET
        section = f"access: {{webhooks: {json.dumps([item | more])}}}"
        async with access_server(tmp_path, section, policy) as server:
            yield server, got


def signed(body: bytes, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Coordinator-Timestamp": stamp, "X-Coordinator-Signature": f"sha256={digest}"}


def signed_by_slack(body: bytes, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else {}


async def state_of(server: Running, request_id: str) -> dict[str, Any]:
    return dict((await server.call("GET", f"/api/v1/access/requests/{request_id}"))["request"])  # type: ignore[call-overload]


async def refusals(server: Running) -> list[dict[str, Any]]:
    found = await server.call("GET", "/api/v1/audit?action=access.answer.refused")
    return [entry["after"] for entry in found["entries"]]  # type: ignore[attr-defined]


async def test_a_program_is_told_and_answers(tmp_path: Path) -> None:
    async with hooked(tmp_path, "generic") as (server, got):
        request = await ask(server)
        await got.until(lambda: got.bodies)
        (told,) = got.documents
        assert (told["event"], told["request"]["id"], told["request"]["user"]) == ("requested", "1", "alice")
        assert told["answer"] == {
            "url": f"{server.url}/access/hooks/generic",
            "approvers": ["bob", "carol"],
        }
        url = told["answer"]["url"]
        sent = got.bodies[0]
        stamp = got.headers[0]["X-Coordinator-Timestamp"]
        assert (
            signed(sent, float(stamp))["X-Coordinator-Signature"] == got.headers[0]["X-Coordinator-Signature"]
        )
        body = json.dumps({"request": "1", "decision": "approve", "user": "carol"}).encode()
        headers = signed(body)
        for wrong in (
            {},
            signed(body, time.time() - 400),
            signed(body, time.time() + 400),
            signed(body, secret="another secret of it"),
            signed(body + b" "),
            headers | {"X-Coordinator-Timestamp": str(int(headers["X-Coordinator-Timestamp"]) + 1)},
        ):
            assert (await post(url, body, wrong))[0] == 401
        assert (await state_of(server, request["id"]))["state"] == "requested"
        status, answer = await post(url, body, headers)
        assert (status, answer["settled"]) == (200, True)
        assert "approved by carol" in answer["text"]
        assert (await state_of(server, request["id"]))["approvals"][0]["by"] == "carol"
        status, answer = await post(url, body, headers)
        assert (status, "come before" in answer["detail"]) == (401, True)
        again = signed(body, time.time() - 5)
        assert (await post(url, body, again))[0] == 409
        # Our own message, sent back to us, is no answer.
        assert (await post(url, sent, signed(sent)))[0] == 400
        await got.until(lambda: len(got.bodies) == 2)
        assert (got.documents[1]["event"], got.documents[1]["by"]) == ("opened", "carol")


async def test_who_may_not_answer_through_a_program(tmp_path: Path) -> None:
    async with hooked(tmp_path, "generic") as (server, _):
        request = await ask(server)
        url = f"{server.url}/access/hooks/generic"
        for person in ("alice", "U9", "nobody"):
            body = json.dumps({"request": "1", "decision": "approve", "user": person}).encode()
            assert (await post(url, body, signed(body)))[0] == 403
        body = json.dumps({"request": "99", "decision": "approve", "user": "bob"}).encode()
        assert (await post(url, body, signed(body)))[0] == 404
        large = b" " * 70_000
        assert (await post(url, large, signed(large)))[0] == 400
        assert (await post(f"{server.url}/access/hooks/other", b"{}", {}))[0] == 404
        assert (await state_of(server, request["id"]))["state"] == "requested"
        said = await refusals(server)
        assert [each.get("person") for each in said] == ["nobody", None, None]
        body = json.dumps({"request": "1", "decision": "deny", "user": "U1"}).encode()
        assert (await post(url, body, signed(body)))[0] == 200
        assert (await state_of(server, request["id"]))["denied_by"] == "bob"
        (entry,) = (await server.call("GET", "/api/v1/audit?action=access.deny"))["entries"]  # type: ignore[misc]
        assert (entry["actor"]["name"], entry["after"]["via"]) == ("bob", "webhook generic")


async def test_links_in_a_message_to_a_program(tmp_path: Path) -> None:
    async with hooked(tmp_path, "generic", links=True) as (server, got):
        await ask(server)
        await got.until(lambda: got.bodies)
        links = got.documents[0]["links"]
        assert [each["user"] for each in links] == ["bob", "carol"]
        async with aiohttp.ClientSession() as session, session.post(links[1]["deny"]) as answer:
            assert answer.status == 200
        assert (await state_of(server, "1"))["denied_by"] == "carol"
        (entry,) = (await server.call("GET", "/api/v1/audit?action=access.links"))["entries"]  # type: ignore[misc]
        assert (entry["actor"]["name"], entry["after"]) == ("webhook generic", {"for": ["bob", "carol"]})


def press(message: dict[str, Any], button: int, person: str, reply: str) -> bytes:
    element = message["blocks"][2]["elements"][button]
    payload = {
        "type": "block_actions",
        "user": {"id": person, "username": "bob"},
        "actions": [{"type": "button", "action_id": element["action_id"], "value": element["value"]}],
        "response_url": reply,
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


async def test_buttons_in_slack(tmp_path: Path) -> None:
    async with hooked(tmp_path, "slack") as (server, got):
        request = await ask(server)
        await got.until(lambda: got.bodies)
        url, reply = f"{server.url}/access/hooks/slack", got.url.replace("/in", "/reply")
        (message,) = got.documents
        body = press(message, 0, "U1", reply)
        for wrong in (
            {},
            signed_by_slack(body, time.time() - 400),
            signed_by_slack(body, secret="x" * 16),
            signed_by_slack(body + b"&"),
        ):
            assert (await post(url, body, wrong))[0] == 401
        for person, words in (("U2", "nobody here"), ("U9", "somebody else has to decide")):
            other = press(message, 0, person, reply)
            assert (await post(url, other, signed_by_slack(other)))[0] == 200
            await got.until(lambda words=words: any(words in each["text"] for each in got.replies))  # type: ignore[misc]
        assert {each["response_type"] for each in got.replies} == {"ephemeral"}
        assert (await state_of(server, request["id"]))["state"] == "requested"
        headers = signed_by_slack(body)
        assert (await post(url, body, headers))[0] == 200
        after = await state_of(server, request["id"])
        assert (after["state"], after["approvals"][0]["by"]) == ("active", "bob")
        await got.until(lambda: len(got.replies) == 3)
        assert (got.replies[2]["replace_original"], "approved by bob" in got.replies[2]["text"]) == (
            True,
            True,
        )
        assert (await post(url, body, headers))[0] == 401, "a replay"
        # Replies go to where the messages go, and nowhere else.
        elsewhere = press(message, 0, "U1", "http://127.0.0.1:1/steal")
        assert (await post(url, elsewhere, signed_by_slack(elsewhere)))[0] == 200
        assert len(await refusals(server)) == 3


async def test_buttons_in_mattermost(tmp_path: Path) -> None:
    two = POLICY.replace('"approvers":', '"approvals": 2, "approvers":')
    users = {"u1": "bob", "u2": "carol", "u9": "alice"}
    async with hooked(tmp_path, "mattermost", two, users=users) as (server, got):
        request = await ask(server)
        await got.until(lambda: got.bodies)
        approve = got.documents[0]["attachments"][0]["actions"][0]["integration"]
        assert approve["url"] == f"{server.url}/access/hooks/mattermost"

        async def press(person: str, token: str = approve["context"]["token"]) -> tuple[int, dict[str, Any]]:
            document = {"user_id": person, "user_name": "bob", "context": {"token": token}}
            return await post(approve["url"], json.dumps(document).encode(), {})

        forged = approve["context"]["token"].replace("approve.1.", "approve.2.")
        for token in (forged, "x"):
            assert (await press("u1", token))[0] == 401
        for person, words in (("u3", "nobody here"), ("bob", "nobody here"), ("u9", "somebody else")):
            status, answer = await press(person)
            assert (status, words in answer["ephemeral_text"]) == (200, True)
        _, answer = await press("u1")
        assert "waits for one more" in answer["ephemeral_text"]
        _, answer = await press("u1")
        assert "approved request 1 already" in answer["ephemeral_text"]
        _, answer = await press("u2")
        assert "approved by bob, carol" in answer["update"]["message"]
        assert (await state_of(server, request["id"]))["state"] == "active"
        _, answer = await press("u2")
        assert "it is active" in answer["ephemeral_text"]


async def test_a_dead_receiver_delays_nothing_and_hears_of_it_later(tmp_path: Path) -> None:
    async with hooked(tmp_path, "generic") as (server, got):
        got.silent = True
        began = time.monotonic()
        request = await ask(server)
        await server.call("POST", f"/api/v1/access/requests/{request['id']}/approve", json={"as": "bob"})
        assert time.monotonic() - began < 1.0
        assert (await state_of(server, request["id"]))["state"] == "active"


async def test_messages_survive_failures_and_a_restart(tmp_path: Path) -> None:
    async with receiver() as got:
        item = {"kind": "generic", "url": got.url, "secret": SECRET}
        section = f"access: {{webhooks: {json.dumps([item])}}}"
        got.statuses = [503]
        async with access_server(tmp_path, section) as server:
            await ask(server)
            await got.until(lambda: got.bodies)
            await server.call("POST", "/api/v1/access/requests/1/deny", json={"as": "bob"})
        failed = len(got.bodies)
        assert {each["event"] for each in got.documents} == {"requested"}
        got.statuses = [503, 200]
        async with running_server(tmp_path, POLICY, section) as server:
            await got.until(lambda: len(got.bodies) >= failed + 3)
            assert (await server.call("GET", "/api/v1/audit/verify"))["intact"]
        later = got.documents[failed:]
        assert [each["event"] for each in later] == ["requested", "requested", "denied"]
        assert later[0]["id"] == got.documents[0]["id"], "the same event, as its id says"
        assert "answer" not in later[0], "nobody can answer any more"
