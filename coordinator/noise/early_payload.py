"""The optional document between the handshake and HTTP/2.

`ff ff ff 54 53`, u32 big-endian length, JSON. Clients in range parse it and do nothing with the challenge; it
is sent because other servers do.
Source: tailscale control/ts2021.
"""

from __future__ import annotations

import json

MAGIC = b"\xff\xff\xffTS"


def early_payload(challenge_key: bytes) -> bytes:
    """The first plaintext of a connection; `challenge_key` is a 32-byte public key of the server's choice."""
    document = json.dumps({"nodeKeyChallenge": f"chalpub:{challenge_key.hex()}"}).encode()
    return MAGIC + len(document).to_bytes(4, "big") + document
