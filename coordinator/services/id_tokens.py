"""Identity tokens of machines: a signed statement who a node is, for whoever the node wants to prove it to.

A client asks over its Noise channel (`tailscale id-token AUDIENCE`), so the node's keys are proven; the token
is a JSON Web Token (ES256) whose claims are those of the official service. Source: tailscale
tailcfg/tailcfg.go (TokenRequest, TokenResponse). Anybody can verify it with the keys under the issuer; the
server itself takes tokens made out to it as proof of who asks for access.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from coordinator.netmap.config import MapConfig
from coordinator.services.machine_owner import person_behind, require_in_order
from coordinator.services.rate_limits import TokenBuckets
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.keys import MachineKey, NodeKey
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import (
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
)
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.users import User

ALGORITHM = "ES256"
LIFETIME = timedelta(minutes=5)
LEEWAY_SECONDS = 30
"""By so much the clocks of two servers may differ."""
ISSUER_PATH = "/id-token"
MAX_AUDIENCE = 1000
MAX_TOKEN = 8192
BURST, PER_MINUTE = 30, 30
"""Tokens of one node: each is an entry of the audit log."""
CLAIMS = (
    "sub", "aud", "exp", "iat", "iss", "jti", "nbf", "key", "addresses", "nid", "node", "domain", "tags",
    "user", "uid",
)  # fmt: skip


class IDTokens:
    """Issues identity tokens, and checks those made out to this server.

    Args:
        tailnet: Whose nodes.
        key: Private, P-256.
        server_url: Where clients reach this server; the audience of tokens for it, and the issuer's root.
        random_hex: Secret hex text of so many bytes.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        tailnet: Tailnet,
        key: ECKey,
        server_url: str,
        random_hex: Callable[[int], str],
        monotonic: Callable[[], float],
    ) -> None:
        self._tailnet = tailnet
        self._key = key
        self._key_id = key.thumbprint()
        self.audience = server_url.rstrip("/")
        self.issuer = self.audience + ISSUER_PATH
        self._random_hex = random_hex
        self._issued = TokenBuckets(BURST, PER_MINUTE, monotonic)

    # for whoever verifies

    def keys(self) -> dict[str, Any]:
        """The public keys, as a JWK set."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": ALGORITHM}]}

    def configuration(self) -> dict[str, Any]:
        """The issuer's metadata. Source: OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks.json",
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid"],
            "claims_supported": list(CLAIMS),
        }

    # issuing

    async def issue(self, machine_key: MachineKey, node_key: NodeKey, audience: str) -> str:
        """A token for a node that proved its machine key, valid for five minutes.

        Raises:
            NotFoundError: no valid node of this machine holds that key.
            ForbiddenError: the device is not approved, or its user is suspended.
            InvalidError: the audience is empty, or too long.
            RateLimitedError: the node asked for very many.
        """
        record = self._tailnet.snapshot.record_by_key(node_key)
        if record is None or record.expired or record.node.machine_key != machine_key:
            raise NotFoundError("node not found")
        node = record.node
        require_in_order(self._tailnet.snapshot, node)
        if not audience or len(audience) > MAX_AUDIENCE or not audience.isprintable():
            raise InvalidError(f"say who the token is for: an audience of at most {MAX_AUDIENCE} characters")
        self._require_moderation(node)
        now = self._tailnet.clock()
        claims = self._claims(node, audience, now)

        def record_it(directory: Directory) -> None:
            actor, target = Actor(kind="node", name=str(node.id)), f"node:{node.id}"
            after = {"audience": audience, "jti": claims["jti"]}
            directory.audit(now, actor, "node.id_token", target, after, name=node.given_name)

        await self._tailnet.execute(record_it)
        return jwt.encode({"alg": ALGORITHM, "kid": self._key_id}, claims, self._key)

    def _require_moderation(self, node: Node) -> None:
        wait = self._issued.wait(str(node.id))
        if wait > 0:
            seconds = max(1, ceil(wait))
            raise RateLimitedError(f"this machine asked for too many tokens; again in {seconds} s", seconds)
        self._issued.take(str(node.id))

    def _claims(self, node: Node, audience: str, now: datetime) -> dict[str, Any]:
        config: MapConfig = self._tailnet.world.config
        name, domain = config.fqdn(node.given_name).rstrip("."), config.domain
        owner: dict[str, Any] = {"tags": [f"{domain}:{tag}" for tag in node.tags]}
        if not node.tags and node.user_id is not None:
            user = self._tailnet.snapshot.users[node.user_id]
            owner = {"user": f"{domain}:{user.login}", "uid": user.id}
        issued = int(now.timestamp())
        return {
            "jti": self._random_hex(16),
            "iss": self.issuer,
            "sub": name,
            "aud": audience,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
            "key": node.node_key,
            "addresses": [str(address) for address in node.addresses],
            "nid": node.id,
            "node": name,
            "domain": domain,
            **owner,
        }

    # checking

    def verify(self, text: str) -> tuple[User, Node]:
        """Who presents a token that is made out to this server.

        The node is looked at as it is now: one that left, got another key or another owner since proves
        nothing any more.

        Raises:
            UnauthenticatedError: it is not valid, or made out to somebody else.
            ForbiddenError: the machine has no person behind it, or is not in order.
        """
        claims = self._checked(text)
        node_id, key = claims.get("nid"), claims.get("key")
        record = self._tailnet.snapshot.record(NodeID(node_id)) if isinstance(node_id, int) else None
        if record is None or record.expired or record.node.node_key != key:
            raise UnauthenticatedError("the identity token's machine is not in the tailnet any more")
        node = record.node
        user = person_behind(self._tailnet.snapshot, record)
        if claims.get("uid") != user.id:
            raise UnauthenticatedError("the machine belongs to somebody else since the token was made")
        return user, node

    def _checked(self, text: str) -> dict[str, Any]:
        """The claims of a token of ours, for us, that is valid now."""
        if len(text) > MAX_TOKEN:
            raise UnauthenticatedError("the identity token is too long")
        try:
            claims = dict(jwt.decode(text, self._key, algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError) as error:
            raise UnauthenticatedError("the identity token is not one of this server") from error
        now = int(self._tailnet.clock().timestamp())
        if claims.get("iss") != self.issuer:
            raise UnauthenticatedError("the identity token is not one of this server")
        if claims.get("aud") != self.audience:
            raise UnauthenticatedError(
                f"the identity token is made out to somebody else; ask for one with "
                f"`tailscale id-token {self.audience}`"
            )
        if not claims["nbf"] - LEEWAY_SECONDS <= now < claims["exp"]:
            raise UnauthenticatedError("the identity token is over: it lives for five minutes")
        return claims
