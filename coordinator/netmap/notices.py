"""What a client shows its user on behalf of the server."""

from __future__ import annotations

from coordinator.tailcfg.capver import DISPLAY_MESSAGES
from coordinator.tailcfg.codec import encode
from coordinator.tailnet.nodes import Node

_ID = "key-expiry"


def expiry_notice(node: Node, *, soon: bool) -> bytes:
    """The member of a map message that warns of a key's expiry, or takes the warning back.

    Older clients have a plain list of texts; the two must not be mixed. Source: tailscale tailcfg/tailcfg.go
    (DisplayMessages, Health).
    """
    text = ""
    if node.expiry is not None:
        text = (
            f"The key of this machine expires at {node.expiry:%Y-%m-%d %H:%M} UTC. "
            "Renew it with `tailscale up --force-reauth`, or ask an administrator to extend it."
        )
    if node.cap_version < DISPLAY_MESSAGES:
        return b'"Health":' + encode([text] if soon else [])
    message = {"Title": "The key of this machine expires soon", "Text": text, "Severity": "medium"}
    return b'"DisplayMessages":' + encode({_ID: message if soon else None})
