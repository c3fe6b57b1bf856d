"""The nouns of the API that need nothing but the services."""

from __future__ import annotations

from coordinator.assembly import Services, utc_now
from coordinator.services.audit import AuditService
from coordinator.web.api.access import AccessRoutes
from coordinator.web.api.api_keys import ApiKeyRoutes
from coordinator.web.api.app import Routes
from coordinator.web.api.attributes import AttributeRoutes
from coordinator.web.api.audit import AuditRoutes
from coordinator.web.api.auth import AuthRoutes
from coordinator.web.api.device_approval import DeviceApprovalRoutes
from coordinator.web.api.identities import IdentityRoutes
from coordinator.web.api.inventory import InventoryRoutes
from coordinator.web.api.key_rotation import KeyRotationRoutes
from coordinator.web.api.nodes import NodeRoutes
from coordinator.web.api.ownership import OwnershipRoutes
from coordinator.web.api.policy import PolicyRoutes
from coordinator.web.api.preauth_keys import PreAuthKeyRoutes
from coordinator.web.api.users import UserRoutes


def api_nouns(services: Services, audit: AuditService) -> list[Routes]:
    """The API of everything but plain WireGuard and the ways to ask for access."""
    return [
        UserRoutes(services.users),
        IdentityRoutes(services.identities),
        PreAuthKeyRoutes(services.keys, services.users),
        NodeRoutes(services.nodes, services.users, services.registration),
        OwnershipRoutes(services.ownership, services.nodes, services.users),
        ApiKeyRoutes(services.api_keys, services.users),
        DeviceApprovalRoutes(services.approval, services.nodes),
        PolicyRoutes(services.policy),
        AccessRoutes(
            services.access, services.incidents, services.users, utc_now, services.scope, services.minted
        ),
        AttributeRoutes(services.attributes, services.nodes),
        InventoryRoutes(services.inventory),
        KeyRotationRoutes(services.rotation, services.nodes, services.users),
        AuthRoutes(services.registration, services.logins, services.checks),
        AuditRoutes(audit),
    ]
