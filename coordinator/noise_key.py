"""The server's Noise key on disk: created once, kept for ever."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from coordinator.noise.keys import clamp, format_private_key, parse_private_key
from coordinator.tailnet.errors import InvalidError


def load_noise_key(path: Path) -> bytes:
    """The 32-byte key in a file of `privkey:` and 64 hex digits.

    Raises:
        FileNotFoundError: there is none yet.
        InvalidError: it cannot be read, or is no key.
    """
    try:
        return parse_private_key(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise InvalidError(f"noise.private_key_path: {path}: {error}") from error


def load_or_create_noise_key(path: Path) -> bytes:
    """The key, made and synced to disk (mode 0600) when there is none.

    Raises:
        InvalidError: it cannot be read or written, or is no key.
    """
    try:
        return load_noise_key(path)
    except FileNotFoundError:
        private_key = clamp(secrets.token_bytes(32))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(format_private_key(private_key) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InvalidError(f"noise.private_key_path: {error}") from error
    return private_key
