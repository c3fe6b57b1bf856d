"""API keys: who may use the API from elsewhere.

`hskey-api-<12>-<64>` (the field's form); of the secret part only BLAKE2b is kept, as with pre-auth keys.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime

from coordinator.tailnet.preauth_keys import PREFIX_CHARS, SECRET_CHARS, hash_secret
from coordinator.tailnet.users import UserID

KEY_PREFIX = "hskey-api-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key. `user_id` None: it may do everything; else what the user's role may."""

    id: int
    prefix: str
    hash: bytes
    user_id: UserID | None = None
    expiration: datetime | None
    created_at: datetime
    last_seen: datetime | None = None

    @property
    def masked(self) -> str:
        """The form that may be shown after creation."""
        return f"{KEY_PREFIX}{self.prefix}-***"

    def valid(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expiration is None or now < self.expiration


def new_api_secret(random_bytes: bytes) -> tuple[str, str, str]:
    """Make a key from 38 random bytes: (text to show once, prefix, secret)."""
    digits = random_bytes.hex()
    prefix, secret = digits[:PREFIX_CHARS], digits[PREFIX_CHARS:]
    return f"{KEY_PREFIX}{prefix}-{secret}", prefix, secret


def split_api_key(text: str) -> tuple[str, str] | None:
    """Prefix and secret of a key's text; None when it has another form."""
    body = text.strip().removeprefix(KEY_PREFIX).removeprefix("tskey-api-")
    if len(body) != PREFIX_CHARS + 1 + SECRET_CHARS or body[PREFIX_CHARS] != "-":
        return None
    return body[:PREFIX_CHARS], body[PREFIX_CHARS + 1 :]


def prefix_of(shown: str) -> str:
    """The prefix in whatever form somebody copied it: bare, masked, or the whole text."""
    return shown.strip().removeprefix(KEY_PREFIX)[:PREFIX_CHARS]


def api_key_matches(key: ApiKey | None, secret: str) -> bool:
    """Constant-time check of a presented secret; as long for a key that does not exist."""
    if key is None:
        hmac.compare_digest(bytes(32), hash_secret("0" * PREFIX_CHARS, secret))
        return False
    return hmac.compare_digest(key.hash, hash_secret(key.prefix, secret))
