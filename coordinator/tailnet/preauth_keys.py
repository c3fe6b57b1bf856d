"""Pre-auth keys: what they grant and when they still do.

The secret is `hskey-auth-<12>-<64>` (the field's form); only BLAKE2b of the secret part, keyed by the id
part, is kept. 256 random bits need no slow hash. Imported keys may carry another `hash_scheme`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from coordinator.tailnet.errors import UnauthenticatedError
from coordinator.tailnet.users import UserID

KEY_PREFIX = "hskey-auth-"
PREFIX_CHARS = 12
SECRET_CHARS = 64
HASH_BLAKE2B = "blake2b"
MALFORMED_KEY = "the auth key is malformed: copy the whole text `preauthkeys create` printed (hskey-auth-...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreAuthKey:
    """A key that lets machines join without a login.

    Either `user_id` or `tags` is set (both may be: the key then makes tagged nodes, on behalf of the user).
    """

    id: int
    prefix: str
    """The 12 characters after `hskey-auth-`; public, unique."""
    hash: bytes
    hash_scheme: str = HASH_BLAKE2B
    user_id: UserID | None
    tags: tuple[str, ...] = ()
    reusable: bool = False
    ephemeral: bool = False
    used: bool = False
    revoked: bool = False
    preapproved: bool = False
    """Its nodes need no device approval."""
    description: str = ""
    max_uses: int | None = None
    """How many joins it grants in all; None: one, or any number when `reusable`."""
    uses: int = 0
    last_used_at: datetime | None = None
    expiration: datetime | None
    created_at: datetime

    @property
    def masked(self) -> str:
        """The form that may be shown after creation."""
        return f"{KEY_PREFIX}{self.prefix}-***"


def new_secret(random_bytes: bytes) -> tuple[str, str]:
    """Make a key text from 38 random bytes.

    Returns:
        (key text to show once, its prefix). Hex digits only, so the text never holds `--TL` or a further
        dash.
    """
    if len(random_bytes) != (PREFIX_CHARS + SECRET_CHARS) // 2:
        raise ValueError("38 random bytes are needed")
    digits = random_bytes.hex()
    prefix, secret = digits[:PREFIX_CHARS], digits[PREFIX_CHARS:]
    return f"{KEY_PREFIX}{prefix}-{secret}", prefix


def split_key(text: str) -> tuple[str, str]:
    """Prefix and secret of a key text, cut by length because an imported prefix may itself hold a dash.

    Raises:
        UnauthenticatedError: the text does not have the form of a pre-auth key.
    """
    body = text.strip().removeprefix(KEY_PREFIX).removeprefix("tskey-auth-")
    if len(body) != PREFIX_CHARS + 1 + SECRET_CHARS or body[PREFIX_CHARS] != "-":
        raise UnauthenticatedError(MALFORMED_KEY)
    return body[:PREFIX_CHARS], body[PREFIX_CHARS + 1 :]


def hash_secret(prefix: str, secret: str) -> bytes:
    """32 bytes to store instead of the secret."""
    return hashlib.blake2b(secret.encode(), digest_size=32, salt=prefix.encode()[:16]).digest()


def matches(key: PreAuthKey | None, secret: str) -> bool:
    """Constant-time check of a presented secret; as long for a key that does not exist."""
    if key is None:
        hmac.compare_digest(bytes(32), hash_secret("0" * PREFIX_CHARS, secret))
        return False
    if key.hash_scheme != HASH_BLAKE2B:
        return False
    return hmac.compare_digest(key.hash, hash_secret(key.prefix, secret))
