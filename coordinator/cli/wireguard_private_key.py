"""Puts the device's own private key into its configuration, on this machine: it is not sent anywhere."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli.output import CommandError

PrivateKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--private-key",
        metavar="FILE",
        help="Complete the file, and the QR code, with the device's private key; it is not sent anywhere.",
    ),
]


def private_key_of(file: Path | None, public_key: str) -> str:
    """The private key in a file; empty without a file.

    Raises:
        CommandError: the file holds no private key, or that of another device.
    """
    if file is None:
        return ""
    private = _read(file)
    if _public(private, file) != public_key:
        raise CommandError(f"the private key in {file} is not that of {public_key}")
    return private


def completed(config: dict[str, Any], private_key: str) -> str:
    """The `wg-quick` text of a configuration, with the private key if there is one.

    The apps for phones take no file and no QR code without it.
    """
    from coordinator.wireguard.device_config import PRIVATE_KEY_LINE

    text = str(config["wg_quick"])
    return text.replace(PRIVATE_KEY_LINE, f"PrivateKey = {private_key}", 1) if private_key else text


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CommandError(f"{file} holds no private key as `wg genkey` prints it") from None


def _public(private: str, file: Path) -> str:
    from nacl.bindings import crypto_scalarmult_base

    from coordinator.wireguard.keys import KEY_BYTES

    try:
        raw = b64decode(private, validate=True)
    except (Base64Error, ValueError):
        raw = b""
    # The function below does not look at the length.
    if len(raw) != KEY_BYTES:
        raise CommandError(f"{file} holds no private key as `wg genkey` prints it")
    return b64encode(crypto_scalarmult_base(raw)).decode()
