"""What must be nobody else's: public keys and names of plain WireGuard, inside the writer's commands."""

from __future__ import annotations

import re
from base64 import b64decode

from coordinator.tailcfg.keys import node_key_from_bytes
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.wireguard.keys import KeyTextError, parse_public_key, short

# With a letter: a number is an id wherever one of them may be said.
_NAME = re.compile(r"(?=[0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def public_key(text: str) -> str:
    """A public key from outside; InvalidError says what is wrong with it."""
    if not text.strip():
        raise InvalidError("say the device's public key: `publicKey`, as `wg pubkey < private.key` prints it")
    try:
        return parse_public_key(text)
    except KeyTextError as error:
        raise InvalidError(f"publicKey: {error}") from error


def require_free_key(directory: Directory, text: str) -> None:
    """Nobody uses a key: no peer, no gateway, no node of the tailnet.

    Raises:
        ConflictError: somebody does; not who, since anybody may ask.
    """
    holder = directory.wireguard.holder_of_key(text)
    node = directory.node_by_key(node_key_from_bytes(b64decode(text)))
    if holder is not None or node is not None:
        raise ConflictError(f"the key {short(text)} is in use elsewhere; make a new one with `wg genkey`")


def require_name(name: str) -> str:
    """A name of a peer, as policies write it after `wg:`; InvalidError otherwise."""
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"peer name `{name[:80]}`: use up to 63 lower-case letters, digits and `-`, a letter among them, "
            "such as `adas-phone`"
        )
    return name
