"""Plain WireGuard peers: what a gateway is told and what it reports, keys, pools and device files. Pure."""
