"""The key that signs identity tokens of machines, on disk: created once, beside the server's Noise key."""

from __future__ import annotations

import os
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from coordinator.tailnet.errors import InvalidError

CURVE = "P-256"


def load_or_create_id_token_key(path: Path) -> ECKey:
    """The private P-256 key in a PEM file, made and synced to disk (mode 0600) when there is none.

    Losing it does no harm: a new one is made, and tokens of the last minutes are not valid any more.

    Raises:
        InvalidError: it cannot be read or written, or is no such key.
    """
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        key = ECKey.generate_key(CURVE)
    except (OSError, ValueError, JoseError) as error:
        raise InvalidError(f"id_tokens.private_key_path: {path}: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InvalidError(f"id_tokens.private_key_path: {error}") from error
    return key


def _parse(pem: bytes) -> ECKey:
    key = ECKey.import_key(pem)
    if not key.is_private or key.curve_name != CURVE:
        raise ValueError(f"this is no private key on the curve {CURVE}")
    return key
