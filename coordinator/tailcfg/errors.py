"""The one error of the wire room."""

from __future__ import annotations


class WireError(ValueError):
    """A document or a key that is not what the protocol says.

    The message names the field, never its value.
    """
