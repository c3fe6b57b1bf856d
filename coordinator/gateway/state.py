"""What a gateway keeps on disk: its private keys, the last wish, what it knows of the time, unanswered
events.

Everything is readable by the owner alone and replaced in one step, so that a power cut leaves the old file
or the new one. One program at a time holds the directory.
"""

from __future__ import annotations

import base64
import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec
from nacl.bindings import crypto_scalarmult_base

from coordinator.gateway.checked import is_key
from coordinator.gateway.clock import Anchor
from coordinator.gateway.plan import Key
from coordinator.wireguard.wire import Noticed, Wish

T = TypeVar("T")

_KEY_BYTES = 32


class StateError(Exception):
    """The directory cannot be used; the text says what to do."""


class State:
    """The directory, held until the process ends.

    Raises:
        StateError: it cannot be made or written, or another program holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "keys").mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the state directory {folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateError(
                f"another gateway program is running with the state directory {folder}"
            ) from None

    def close(self) -> None:
        """Let another program have it."""
        os.close(self._lock)

    def key(self, key_id: str) -> Key:
        """The gateway's own key of this id, made now if there is none. The private half stays in its file.

        Raises:
            StateError: the file cannot be read or written, or holds something else.
        """
        public = crypto_scalarmult_base(base64.b64decode(self.private_key(key_id)))
        return Key(public=base64.b64encode(public).decode(), path=str(self._key_path(key_id)))

    def private_key(self, key_id: str) -> str:
        """The private half, for opening what is meant for this gateway.

        Raises:
            StateError: as `key`.
        """
        path = self._key_path(key_id)
        try:
            text = path.read_text().strip()
        except FileNotFoundError:
            text = new_private_key()
            self._write(path, f"{text}\n".encode())
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error.strerror}") from error
        if not is_key(text):
            raise StateError(
                f"{path} holds no private key; restore it, or delete it and give out the new one"
            )
        return text

    def _key_path(self, key_id: str) -> Path:
        return self.folder / "keys" / key_id

    def keep_only_keys(self, key_ids: set[str]) -> list[str]:
        """Delete private keys of other ids; returns those deleted."""
        gone = []
        for path in (self.folder / "keys").iterdir():
            if path.name not in key_ids:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise StateError(f"{path} cannot be deleted: {error.strerror}") from error
                gone.append(path.name)
        return gone

    def wish(self) -> Wish | None:
        """The last wish; None when there was none, or the file is damaged."""
        return self._read("wish.json", Wish)

    def keep_wish(self, wish: Wish) -> None:
        """For the time without the server. It holds preshared keys."""
        self._write(self.folder / "wish.json", msgspec.json.encode(wish))

    def anchor(self) -> Anchor | None:
        """What was known of the server's clock."""
        return self._read("clock.json", Anchor)

    def keep_anchor(self, anchor: Anchor) -> None:
        """For the next start."""
        self._write(self.folder / "clock.json", msgspec.json.encode(anchor))

    def events(self) -> tuple[Noticed, ...]:
        """Events no report with them was answered for."""
        return self._read("events.json", tuple[Noticed, ...]) or ()

    def keep_events(self, events: tuple[Noticed, ...]) -> None:
        """Until they are answered."""
        self._write(self.folder / "events.json", msgspec.json.encode(events))

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            # Whatever it was, the server's next answer replaces it.
            return None

    def _write(self, path: Path, content: bytes) -> None:
        fresh = path.with_name(f".{path.name}.new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error.strerror}") from error


def new_private_key() -> str:
    """32 random bytes, clamped as X25519 does (RFC 7748, section 5), as `wg genkey` prints them."""
    raw = bytearray(os.urandom(_KEY_BYTES))
    raw[0] &= 248
    raw[31] = (raw[31] & 127) | 64
    return base64.b64encode(bytes(raw)).decode()
