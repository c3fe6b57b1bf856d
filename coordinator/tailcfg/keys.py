"""Public keys in their text forms: `prefix` + 64 lower-case hex digits.

| key | prefix |
|---|---|
| MachineKey (Noise static key) | `mkey:` |
| NodeKey (WireGuard) | `nodekey:` |
| DiscoKey | `discokey:` |
| challenge key | `chalpub:` |
| network-lock key (Ed25519) | `nlpub:` (the CLI prints `tlpub:`) |

Each kind has a type of its own, so that a MachineKey cannot stand for a NodeKey.
Source: tailscale types/key (machine.go, node.go, disco.go, nl.go).
"""

from __future__ import annotations

from typing import NewType

from coordinator.tailcfg.errors import WireError

MachineKey = NewType("MachineKey", str)
NodeKey = NewType("NodeKey", str)
DiscoKey = NewType("DiscoKey", str)
NetworkLockKey = NewType("NetworkLockKey", str)

MACHINE_PREFIX = "mkey:"
NODE_PREFIX = "nodekey:"
DISCO_PREFIX = "discokey:"
NETWORK_LOCK_PREFIX = "nlpub:"
NETWORK_LOCK_CLI_PREFIX = "tlpub:"
PRIVATE_PREFIX = "privkey:"

KEY_BYTES = 32
ZERO_HEX = "0" * (KEY_BYTES * 2)


def _parse(text: str, prefix: str, what: str) -> str:
    if not text.startswith(prefix):
        raise WireError(f"{what} must start with `{prefix}`")
    body = text[len(prefix) :]
    if len(body) != KEY_BYTES * 2:
        raise WireError(f"{what} must have {KEY_BYTES * 2} hex digits after `{prefix}`, got {len(body)}")
    try:
        raw = bytes.fromhex(body)
    except ValueError:
        raise WireError(f"{what} has characters that are not hex digits") from None
    if len(raw) != KEY_BYTES:  # bytes.fromhex skips white space
        raise WireError(f"{what} has characters that are not hex digits")
    return prefix + raw.hex()


def parse_machine_key(text: str) -> MachineKey:
    """Canonical form of a MachineKey; raises WireError for anything else."""
    return MachineKey(_parse(text, MACHINE_PREFIX, "machine key"))


def parse_node_key(text: str) -> NodeKey:
    """Canonical form of a NodeKey; raises WireError for anything else."""
    return NodeKey(_parse(text, NODE_PREFIX, "node key"))


def parse_disco_key(text: str) -> DiscoKey:
    """Canonical form of a DiscoKey; raises WireError for anything else."""
    return DiscoKey(_parse(text, DISCO_PREFIX, "disco key"))


def parse_network_lock_key(text: str) -> NetworkLockKey:
    """Canonical form of a network-lock key, from either of its two prefixes."""
    if text.startswith(NETWORK_LOCK_CLI_PREFIX):
        text = NETWORK_LOCK_PREFIX + text[len(NETWORK_LOCK_CLI_PREFIX) :]
    return NetworkLockKey(_parse(text, NETWORK_LOCK_PREFIX, "network-lock key"))


def machine_key_from_bytes(raw: bytes) -> MachineKey:
    """Text form of 32 raw bytes."""
    return MachineKey(MACHINE_PREFIX + raw.hex())


def node_key_from_bytes(raw: bytes) -> NodeKey:
    """Text form of 32 raw bytes."""
    return NodeKey(NODE_PREFIX + raw.hex())


def raw_bytes(key: str) -> bytes:
    """The 32 bytes behind any text form made by this module."""
    return bytes.fromhex(key.rpartition(":")[2])


def is_zero(key: str) -> bool:
    """Whether a key is the zero key; clients send that text for "none"."""
    return key.endswith(":" + ZERO_HEX)
