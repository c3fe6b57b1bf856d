"""Capability versions: the integer a client sends as `Version`, and what changes with it.

Source: tailscale tailcfg/tailcfg.go (CapabilityVersion comments), tags v1.80.0 to v1.102.3.
"""

from __future__ import annotations

MINIMUM = 113
"""v1.80, the oldest client served; a version above every known one is never refused."""

DISPLAY_MESSAGES = 117
"""v1.84: `DisplayMessages`; before, `Health` is all a server can make a client say."""

CERT_PIN = 115
"""v1.82: `DERPNode.CertName` may be `sha256-raw:<hex>`. Older clients take that text for a host name."""
