"""A first configuration for `coordinator serve --quickstart DIR`: everything in one directory, nothing to
edit.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

PORT = 8080
_PRIVATE = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""What clients take for private; other ranges, though reserved, they do not."""

_CONFIG = """\
# Written by `coordinator serve --quickstart`. Edit it as you like; it is not written again.
# Every key is explained in docs/configuration.md.

# The address clients use. A private IPv4 address (or localhost) works with plain http; for anything else
# use https.
server_url: http://{host}:{port}
listen_addr: 0.0.0.0:{port}

noise:
  private_key_path: noise_private.key # back this up: with another key every client has to log in again

prefixes:
  v4: 100.64.0.0/10
  v6: fd7a:115c:a1e0::/48

derp:
  server:
    enabled: true
    private_key_path: derp_server_private.key
    stun_listen_addr: 0.0.0.0:3478
    tls_listen_addr: 0.0.0.0:3443
    tls_cert_path: derp_cert.pem
    tls_key_path: derp_key.pem

database:
  type: sqlite
  sqlite:
    path: db.sqlite

policy:
  mode: file
  path: acls.hujson # who may reach whom; an edit takes effect within a second

dns:
  magic_dns: true
  base_domain: tail.internal
  override_local_dns: false

unix_socket: coordinator.sock
unix_socket_permission: "0o770"
"""

_POLICY = """\
// Who may reach whom. Edit and save: connected clients follow within a second.
{
  "acls": [
    // Everybody may reach everybody.
    {"action": "accept", "src": ["*"], "dst": ["*:*"]},
  ],
}
"""


def write_first_configuration(directory: Path) -> Path:
    """Write config.yaml and acls.hujson into a directory unless they are there.

    Returns:
        Path of the configuration file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "config.yaml"
    if not config.exists():
        policy = directory / "acls.hujson"
        if not policy.exists():
            policy.write_text(_POLICY, encoding="utf-8")
        config.write_text(_CONFIG.format(host=private_address(), port=PORT), encoding="utf-8")
    return config


def private_address() -> str:
    """This machine's private IPv4 address towards the outside, else 127.0.0.1.

    Clients that use plain http with a public address or a name dial port 443 only when they reconnect, so
    such an address is not offered.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it only picks the source address.
            probe.connect(("192.0.2.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
    return address if any(ip_address(address) in network for network in _PRIVATE) else "127.0.0.1"
