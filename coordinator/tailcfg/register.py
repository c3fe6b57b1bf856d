"""RegisterRequest and RegisterResponse.

Source: tailscale tailcfg/tailcfg.go. The client evaluates a response in this order: Error, NodeKeySignature,
NodeKeyExpired, AuthURL, success. User and Login are always filled: a client saves its profile only once it
knows a LoginName.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from coordinator.tailcfg.codec import GO_ZERO_TIME

NOBODY: dict[str, Any] = {"ID": 0, "DisplayName": "", "LoginName": ""}
"""User and Login of an answer that admits nobody."""


class RegisterAuth(msgspec.Struct, rename={"auth_key": "AuthKey"}):
    """Credentials inside a RegisterRequest."""

    auth_key: str = ""


class RegisterRequest(
    msgspec.Struct,
    rename={
        "version": "Version",
        "node_key": "NodeKey",
        "old_node_key": "OldNodeKey",
        "network_lock_key": "NLKey",
        "auth": "Auth",
        "expiry": "Expiry",
        "followup": "Followup",
        "hostinfo": "Hostinfo",
        "ephemeral": "Ephemeral",
    },
):
    """What a client sends to `/machine/register`.

    `expiry` in the past means logout; Go's zero time means no wish.
    """

    version: int = 0
    node_key: str = ""
    old_node_key: str | None = None
    network_lock_key: str | None = None
    auth: RegisterAuth | None = None
    expiry: str = GO_ZERO_TIME
    followup: str = ""
    hostinfo: dict[str, Any] | None = None
    ephemeral: bool = False


class RegisterResponse(
    msgspec.Struct,
    rename={
        "user": "User",
        "login": "Login",
        "node_key_expired": "NodeKeyExpired",
        "machine_authorized": "MachineAuthorized",
        "auth_url": "AuthURL",
        "error": "Error",
    },
    kw_only=True,
):
    """The answer; always HTTP 200, also for refusals (an HTTP error is retried silently and never shown)."""

    user: dict[str, Any]
    login: dict[str, Any]
    node_key_expired: bool = False
    machine_authorized: bool = False
    auth_url: str = ""
    error: str | UnsetType = UNSET
