"""What must be nobody else's: public keys and names of plain WireGuard, inside the writer's commands.

A key has one use, over both worlds: a peer or a gateway cannot have the key of a node or of a machine of the
tailnet, and the other way round. What has ended holds no key: that of a revoked peer, a deleted gateway or a
deleted node may be used again, by whoever has its private half.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

from coordinator.tailcfg.keys import (
    MachineKey,
    NodeKey,
    machine_key_from_bytes,
    node_key_from_bytes,
    raw_bytes,
)
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
    """Nobody uses a key: no peer, no gateway, no node and no machine of the tailnet.

    Raises:
        ConflictError: somebody does; not who, since anybody may ask.
    """
    holder = directory.wireguard.holder_of_key(text)
    same = _same_point(b64decode(text))
    node = any(directory.node_by_key(node_key_from_bytes(raw)) is not None for raw in same)
    machine = any(directory.nodes_of_machine(machine_key_from_bytes(raw)) for raw in same)
    if holder is not None or node or machine:
        raise ConflictError(f"the key {short(text)} is in use elsewhere; make a new one with `wg genkey`")


def plain_wireguard_has(directory: Directory, *keys: NodeKey | MachineKey) -> bool:
    """Whether a living peer or a gateway of plain WireGuard uses one of the keys a client registers with."""
    spellings = [raw for key in keys for raw in _same_point(raw_bytes(key))]
    return any(directory.wireguard.holder_of_key(b64encode(raw).decode()) is not None for raw in spellings)


def _same_point(raw: bytes) -> tuple[bytes, bytes]:
    """The two spellings of a public key: X25519 disregards the highest bit. Source: RFC 7748, section 5."""
    return bytes([*raw[:-1], raw[-1] & 0x7F]), bytes([*raw[:-1], raw[-1] | 0x80])


def require_name(name: str) -> str:
    """A name of a peer, as policies write it after `wg:`; InvalidError otherwise."""
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"peer name `{name[:80]}`: use up to 63 lower-case letters, digits and `-`, a letter among them, "
            "such as `adas-phone`"
        )
    return name
