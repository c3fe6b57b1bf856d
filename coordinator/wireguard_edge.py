"""Where plain WireGuard meets the outside: who may bring devices, and where alerts go."""

from __future__ import annotations

from coordinator.assembly import Services
from coordinator.audit.alert_sink import AlertSink
from coordinator.audit.sinks import Sink, WebhookSink
from coordinator.services.provider_tokens import ProviderTokens
from coordinator.services.wireguard_alerts import ALERT
from coordinator.settings.model import PlainWireGuard
from coordinator.tailnet.users import User, UserID
from coordinator.web.api.wireguard_callers import WireGuardCallers
from coordinator.web.oidc_pages import OIDCPages


def alert_sinks(settings: PlainWireGuard) -> list[Sink]:
    """The webhook for alerts, if one is configured."""
    if not settings.alerts_url:
        return []
    return [AlertSink(ALERT, WebhookSink(settings.alerts_url, settings.alerts_token.reveal()))]


def wireguard_callers(services: Services, oidc: OIDCPages | None) -> WireGuardCallers:
    """The guard of what people and devices do for themselves."""
    verify = None if oidc is None else ProviderTokens(oidc.providers, services.identities).user

    def user_of(user_id: int) -> User | None:
        return services.tailnet.snapshot.users.get(UserID(user_id))

    return WireGuardCallers(
        services.api_keys, services.wireguard.tokens, user_of, verify, services.limits, services.refusals
    )
