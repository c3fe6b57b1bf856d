"""JSON shapes of API v1: camelCase, ids as text, every field always there, unset times null."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coordinator.services.nodes import NodeView
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.facts import node_attributes
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.users import User

_METHODS = {
    "authkey": "REGISTER_METHOD_AUTH_KEY",
    "cli": "REGISTER_METHOD_CLI",
    "oidc": "REGISTER_METHOD_OIDC",
}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else go_time(moment)


def user_view(user: User) -> dict[str, Any]:
    """A user."""
    return {
        "id": str(user.id),
        "name": user.name or user.email,
        "createdAt": _time(user.created_at),
        "displayName": user.display_name,
        "email": user.email,
        "providerId": user.provider_identifier or "",
        "provider": user.provider,
        "profilePicUrl": user.profile_pic_url,
        "role": user.role,
        "suspended": user.suspended,
        "groups": list(user.groups),
    }


def preauth_key_view(key: PreAuthKey, user: User | None, secret: str | None = None) -> dict[str, Any]:
    """A pre-auth key; its text only in the answer to its creation."""
    return {
        "user": user_view(user) if user else None,
        "id": str(key.id),
        "key": secret or key.masked,
        "reusable": key.reusable,
        "ephemeral": key.ephemeral,
        "used": key.used,
        "preApproved": key.preapproved,
        "description": key.description,
        "maxUses": key.max_uses,
        "uses": key.uses,
        "lastUsed": _time(key.last_used_at),
        "expiration": _time(key.expiration),
        "createdAt": _time(key.created_at),
        "aclTags": list(key.tags),
    }


def node_view(view: NodeView) -> dict[str, Any]:
    """A node."""
    node = view.node
    return {
        "id": str(node.id),
        "machineKey": node.machine_key,
        "nodeKey": node.node_key,
        "discoKey": node.disco_key or "",
        "ipAddresses": [str(address) for address in node.addresses],
        "name": node.hostname,
        "user": user_view(view.user) if view.user else None,
        "lastSeen": _time(node.last_seen),
        "expiry": _time(node.expiry),
        "preAuthKey": preauth_key_view(view.preauth_key, view.user) if view.preauth_key else None,
        "createdAt": _time(node.created_at),
        "registerMethod": _METHODS.get(node.register_method, "REGISTER_METHOD_UNSPECIFIED"),
        "givenName": node.given_name,
        "online": node.online and not view.expired,
        "approvedRoutes": list(node.approved_routes),
        "availableRoutes": list(view.available_routes),
        "subnetRoutes": list(view.subnet_routes),
        "tags": list(node.tags),
        "ephemeral": node.ephemeral,
        "approval": node.approval,
        "expired": view.expired,
        "keySince": _time(node.key_since or node.created_at),
        "rotationAsked": _time(node.rotation_asked),
        "fqdn": view.fqdn,
        "attributes": node_attributes(node),
    }
