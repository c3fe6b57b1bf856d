"""X25519 keys as the relay uses them: 32 raw bytes, their text forms, and the relay's own key file.

Node keys stay plain `bytes` in this package; nothing else of 32 bytes crosses its border. Used by the
handshake, the admission call-out, the command line, and by whoever mounts a relay.
"""

import base64
import secrets
from pathlib import Path

from nacl.bindings import crypto_scalarmult_base

__all__ = [
    "KEY_LENGTH",
    "KeyFormatError",
    "clamp",
    "format_node_key",
    "generate_private_key",
    "load_or_create_private_key",
    "parse_node_key",
    "public_key_of",
    "short_form",
]

KEY_LENGTH = 32
_NODE_PREFIX = "nodekey:"
_PRIVATE_PREFIX = "privkey:"


class KeyFormatError(ValueError):
    """A key's text is not a known prefix and 64 hex digits. The message never contains the text."""


def clamp(secret: bytes) -> bytes:
    """Make 32 random bytes an X25519 private key. Source: RFC 7748 section 5.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(secret) != KEY_LENGTH:
        raise ValueError(f"a private key has {KEY_LENGTH} bytes, got {len(secret)}")
    return bytes([secret[0] & 248, *secret[1:31], (secret[31] & 127) | 64])


def generate_private_key() -> bytes:
    """A new private key of 32 bytes, clamped."""
    return clamp(secrets.token_bytes(KEY_LENGTH))


def public_key_of(private_key: bytes) -> bytes:
    """The public key (32 bytes) that belongs to a private one."""
    public: bytes = crypto_scalarmult_base(private_key)
    return public


def format_node_key(node_key: bytes) -> str:
    """`nodekey:` and 64 lower-case hex digits."""
    return _NODE_PREFIX + node_key.hex()


def parse_node_key(text: str) -> bytes:
    """The 32 bytes behind `nodekey:<64 hex>`.

    Raises:
        KeyFormatError: anything else.
    """
    return _parse(text, _NODE_PREFIX)


def short_form(node_key: bytes) -> str:
    """The first five characters of the base64 form in brackets, as stock clients print peers in their
    logs."""
    return f"[{base64.b64encode(node_key)[:5].decode()}]"


def load_or_create_private_key(path: Path) -> bytes:
    """Read the relay's private key, or create the file (mode 0600) with a new one.

    The text is `privkey:<64 hex>`. Of two processes that start at once, one creates and both use its key.

    Returns:
        32 bytes, clamped.
    Raises:
        KeyFormatError: the file holds something else.
        OSError: the file can neither be read nor created.
    """
    if not path.exists():
        _create(path, _PRIVATE_PREFIX + generate_private_key().hex() + "\n")
    try:
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise KeyFormatError(f"{path} does not hold a private key") from None
    try:
        return clamp(_parse(text.strip(), _PRIVATE_PREFIX))
    except KeyFormatError as error:
        raise KeyFormatError(f"{path}: {error}") from None


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        draft.write_text(text, encoding="ascii")
        # A link, unlike a rename, never replaces a key that another process has just made and handed out.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _parse(text: str, prefix: str) -> bytes:
    digits = text.removeprefix(prefix)
    if digits == text:
        raise KeyFormatError(f"expected a key that starts with {prefix!r}")
    try:
        # fromhex alone would take blanks between the digits.
        key = bytes.fromhex(digits) if len(digits) == 2 * KEY_LENGTH else b""
    except ValueError:
        key = b""
    if len(key) != KEY_LENGTH:
        raise KeyFormatError(f"expected {2 * KEY_LENGTH} hex digits behind {prefix!r}")
    return key
