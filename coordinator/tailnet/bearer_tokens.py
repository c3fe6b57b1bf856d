"""Bearer tokens of machines: `<kind>-<12>-<64>`, of whose secret part only BLAKE2b is kept.

The kinds are told apart by how they begin, so that one token offered in another's place is refused by form.
"""

from __future__ import annotations

import hmac

from coordinator.tailnet.preauth_keys import PREFIX_CHARS, SECRET_CHARS, hash_secret

GATEWAY_TOKEN = "wggateway-"
ENROLMENT_TOKEN = "wgenrol-"
SECRET_BYTES = (PREFIX_CHARS + SECRET_CHARS) // 2


def new_token(kind: str, random_bytes: bytes) -> tuple[str, str, bytes]:
    """Make a token from 38 random bytes: (text to show once, prefix, hash to keep)."""
    if len(random_bytes) != SECRET_BYTES:
        raise ValueError(f"{SECRET_BYTES} random bytes are needed")
    digits = random_bytes.hex()
    prefix, secret = digits[:PREFIX_CHARS], digits[PREFIX_CHARS:]
    return f"{kind}{prefix}-{secret}", prefix, hash_secret(prefix, secret)


def split_token(kind: str, text: str) -> tuple[str, str] | None:
    """Prefix and secret of a token's text; None when it has another form."""
    text = text.strip()
    body = text.removeprefix(kind)
    if body == text or not text.isascii() or len(body) != PREFIX_CHARS + 1 + SECRET_CHARS:
        return None
    if body[PREFIX_CHARS] != "-":
        return None
    return body[:PREFIX_CHARS], body[PREFIX_CHARS + 1 :]


def token_matches(prefix: str, kept: bytes | None, secret: str) -> bool:
    """Constant-time check of a presented secret; as long for a token that does not exist (None)."""
    expected = bytes(32) if kept is None else kept
    return hmac.compare_digest(expected, hash_secret(prefix, secret)) and kept is not None
