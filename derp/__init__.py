"""A DERP relay that can live alone: it forwards opaque packets between 32-byte node keys.

Knows nothing of users, policy or a database. `derp.server.Relay` is mounted on an aiohttp application;
`python -m derp` runs one by itself. The room guide is `derp/README.md`.
"""
