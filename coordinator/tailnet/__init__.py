"""The domain: users, nodes, pre-auth keys and the rules that bind them.

Pure: no I/O, no clock, no randomness of its own; time and random bytes come in as arguments.
Values here are frozen dataclasses; rows live in `store`, wire shapes in `tailcfg`.
"""
