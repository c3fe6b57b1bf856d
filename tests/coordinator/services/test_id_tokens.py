"""Identity tokens: who gets one, and what it proves."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from coordinator.services.id_tokens import BURST, IDTokens
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.keys import NodeKey
from coordinator.tailnet.errors import (
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
)
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.state import TailnetState
from tests.support.builders import FakeClock, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet

NOW = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
URL = "https://hs.example"
KEY = ECKey.generate_key("P-256")
ADA, BOB, SHUT_OUT = make_user(1), make_user(2), replace(make_user(3), suspended_at=NOW)
LAPTOP, SERVER, THEIRS, PENDING = (
    make_node(1),
    make_node(2, tags=("tag:mgmt",)),
    make_node(3, user_id=SHUT_OUT.id),
    replace(make_node(4), approval="pending"),
)


@dataclass
class Bench:
    """A tailnet with four machines, and the service."""

    tailnet: Tailnet
    store: MemoryStore
    clock: FakeClock
    tokens: IDTokens
    seconds: list[float]

    async def issue(self, node: Node = LAPTOP, audience: str = URL) -> str:
        return await self.tokens.issue(node.machine_key, node.node_key, audience)

    async def put(self, node: Node) -> None:
        await self.tailnet.execute(lambda directory: directory.put_node(node))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    nodes = {node.id: node for node in (LAPTOP, SERVER, THEIRS, PENDING)}
    users = {user.id: user for user in (ADA, BOB, SHUT_OUT)}
    clock, seconds = FakeClock(NOW), [0.0]
    tailnet, store, _ = make_tailnet(TailnetState(users=users, nodes=nodes), clock=clock)
    tokens = IDTokens(tailnet, KEY, URL + "/", lambda size: "ab" * size, lambda: seconds[0])
    tailnet.start()
    yield Bench(tailnet, store, clock, tokens, seconds)
    await tailnet.close()


def verified(bench: Bench, text: str) -> dict[str, Any]:
    """As somebody else does who knows the published keys alone."""
    return dict(jwt.decode(text, KeySet.import_key_set(bench.tokens.keys()), algorithms=["ES256"]).claims)


async def test_the_claims_are_those_of_the_official_service(bench: Bench) -> None:
    claims = verified(bench, await bench.issue(audience="https://vault.example"))
    issued = int(NOW.timestamp())
    assert claims == {
        "jti": "ab" * 16, "iss": URL + "/id-token", "sub": f"{LAPTOP.given_name}.tail.lab",
        "aud": "https://vault.example", "iat": issued, "nbf": issued, "exp": issued + 300,
        "key": LAPTOP.node_key, "addresses": [str(address) for address in LAPTOP.addresses], "nid": 1,
        "node": f"{LAPTOP.given_name}.tail.lab", "domain": "tail.lab", "user": f"tail.lab:{ADA.login}",
        "uid": 1,
    }  # fmt: skip
    tagged = verified(bench, await bench.issue(SERVER))
    assert tagged["tags"] == ["tail.lab:tag:mgmt"]
    assert not {"user", "uid"} & set(tagged)
    (entry,) = bench.store.commits[0].audit
    assert (entry.action, "vault.example" in str(entry.after)) == ("node.id_token", True)


async def test_the_published_keys_hold_no_secret_and_the_metadata_names_them(bench: Bench) -> None:
    (key,) = bench.tokens.keys()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    metadata = bench.tokens.configuration()
    assert metadata["issuer"] == verified(bench, await bench.issue())["iss"]
    assert metadata["jwks_uri"].startswith(metadata["issuer"] + "/")


@pytest.mark.parametrize(
    ("node", "audience", "error"),
    [
        (replace(LAPTOP, machine_key=SERVER.machine_key), URL, NotFoundError),
        (replace(LAPTOP, node_key=NodeKey("nodekey:" + "f" * 64)), URL, NotFoundError),
        (LAPTOP, "", InvalidError),
        (LAPTOP, "x" * 1001, InvalidError),
        (LAPTOP, "a\nb", InvalidError),
        (THEIRS, URL, ForbiddenError),
        (PENDING, URL, ForbiddenError),
    ],
)
async def test_who_gets_none(bench: Bench, node: Node, audience: str, error: type[CoordinatorError]) -> None:
    with pytest.raises(error):
        await bench.issue(node, audience)
    assert not bench.store.commits


async def test_nobody_fills_the_audit_log(bench: Bench) -> None:
    for _ in range(BURST):
        await bench.issue()
    with pytest.raises(RateLimitedError, match="again in 2 s"):
        await bench.issue()
    await bench.issue(SERVER)
    bench.seconds[0] = 2.0
    await bench.issue()


async def test_a_token_for_this_server_proves_person_and_machine(bench: Bench) -> None:
    assert bench.tokens.verify(await bench.issue()) == (ADA, LAPTOP)
    with pytest.raises(ForbiddenError, match="tag:mgmt, not to a person"):
        bench.tokens.verify(await bench.issue(SERVER))


async def test_it_ends_after_five_minutes(bench: Bench) -> None:
    text = await bench.issue()
    bench.clock.forward(seconds=299)
    bench.tokens.verify(text)
    bench.clock.forward(seconds=1)
    with pytest.raises(UnauthenticatedError, match="is over"):
        bench.tokens.verify(text)
    bench.clock.now = NOW - timedelta(seconds=31)
    with pytest.raises(UnauthenticatedError, match="is over"):
        bench.tokens.verify(text)


async def test_what_changed_since_counts(bench: Bench) -> None:
    text = await bench.issue()
    for changed, error in (
        (replace(LAPTOP, node_key=NodeKey("nodekey:" + "e" * 64)), UnauthenticatedError),
        (replace(LAPTOP, user_id=BOB.id), UnauthenticatedError),
        (replace(LAPTOP, user_id=None, tags=("tag:mgmt",)), ForbiddenError),
        (replace(LAPTOP, approval="pending"), ForbiddenError),
        (replace(LAPTOP, expiry=NOW - timedelta(seconds=1)), UnauthenticatedError),
    ):
        await bench.put(changed)
        with pytest.raises(error):
            bench.tokens.verify(text)
        await bench.put(LAPTOP)
        bench.tokens.verify(text)
    await bench.tailnet.execute(lambda directory: directory.put_user(replace(ADA, suspended_at=NOW)))
    with pytest.raises(ForbiddenError, match="suspended"):
        bench.tokens.verify(text)
    await bench.tailnet.execute(lambda directory: directory.delete_node(NodeID(1)))
    with pytest.raises(UnauthenticatedError, match="not in the tailnet"):
        bench.tokens.verify(text)


def hmac_signed(claims: dict[str, Any]) -> str:
    """Signed with the public key as if it were a shared secret: what careless verifiers take."""

    def part(raw: bytes) -> bytes:
        return urlsafe_b64encode(raw).rstrip(b"=")

    signed = part(b'{"alg":"HS256"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.digest(KEY.as_pem(private=False), signed, "sha256"))).decode()


async def test_forgeries(bench: Bench) -> None:
    text = await bench.issue()
    claims = verified(bench, text)
    head, body, signature = text.split(".")
    for forged in (
        "", "..", "a.b.c", text[:-4], f"{head}.{body}.", f"{head}.{body[:-4]}AAAA.{signature}", "x" * 9000,
        "eyJhbGciOiJub25lIn0." + body + ".",
        jwt.encode({"alg": "ES256"}, claims, ECKey.generate_key("P-256")),
        hmac_signed(claims),
        jwt.encode({"alg": "ES256"}, {**claims, "iss": "https://other"}, KEY),
        await bench.issue(audience="https://vault.example"),
    ):  # fmt: skip
        with pytest.raises(UnauthenticatedError):
            bench.tokens.verify(forged)
