"""The program on a WireGuard gateway: keeps interfaces, peers and packet rules equal to the server's wish.

Pure: `checked`, `clock`, `target`, `rules`, `plan`, `seen`. The rest runs `wg`, `ip` and `nft`, keeps files
and talks to the server. Knows nothing of the server's rooms: both sides meet in
`coordinator.wireguard.wire`.
"""
