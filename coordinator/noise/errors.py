"""Whose fault it was."""

from __future__ import annotations


class RemoteProtocolError(Exception):
    """The other side broke the protocol; the connection is dead."""


class LocalProtocolError(Exception):
    """This side used the connection wrongly; a bug of ours."""
