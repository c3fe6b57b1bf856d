"""The command line: talks to the running server over its socket, prints for people or for programs.

Imports nothing of the server's rooms (only `serve` and `configtest` reach `coordinator.server`), so that it
starts quickly.
"""
