"""From settings to identity providers, the pages people log in on, and the refreshing of what is known."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from coordinator.assembly import Services, utc_now
from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.provider import Provider
from coordinator.oidc.sealing import TokenSealer
from coordinator.services.identity_refresh import IdentityRefresher
from coordinator.services.login_approval import LoginApproval
from coordinator.settings.model import Settings
from coordinator.settings.oidc import DEFAULT_NAME, OIDCProvider
from coordinator.tailnet.errors import InvalidError, UnavailableError
from coordinator.web.oidc_pages import CALLBACK_PATH, OIDCPages

log = structlog.get_logger(__name__)


def provider_config(settings: OIDCProvider) -> ProviderConfig:
    """One provider, its secret read from the file if it is in one.

    Raises:
        InvalidError: the file cannot be read, or is empty.
    """
    secret = settings.client_secret.reveal()
    if settings.client_secret_path:
        path = Path(os.path.expandvars(settings.client_secret_path)).expanduser()
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"oidc.client_secret_path: cannot read {path}: {error}") from error
        if not secret:
            raise InvalidError(f"oidc.client_secret_path: {path} is empty")
    return ProviderConfig(
        name=settings.name,
        title=settings.title,
        issuer=settings.issuer,
        client_id=settings.client_id,
        client_secret=secret,
        scope=settings.scope,
        extra_params=settings.extra_params,
        allowed_domains=settings.allowed_domains,
        allowed_users=settings.allowed_users,
        allowed_groups=settings.allowed_groups,
        email_verified_required=settings.email_verified_required,
        use_expiry_from_token=settings.use_expiry_from_token,
        pkce_method=settings.pkce_method,
        groups_claim=settings.groups_claim,
        groups_prefix=settings.groups_prefix,
        groups_map=settings.groups_map,
    )


def redirect_uri(server_url: str, name: str) -> str:
    """Where a provider sends browsers back to: one address each, so that their answers are told apart."""
    return server_url.rstrip("/") + CALLBACK_PATH + ("" if name == DEFAULT_NAME else f"/{name}")


async def start_oidc(
    stack: AsyncExitStack, settings: Settings, noise_key: bytes, services: Services
) -> OIDCPages | None:
    """Meet the providers; the stack stops what runs on its own. None where no provider is configured.

    Raises:
        InvalidError: a secret cannot be read.
        UnavailableError: a provider does not answer, and the configuration wants it to.
    """
    if not settings.oidc.providers:
        return None
    providers = {
        each.name: Provider(provider_config(each), redirect_uri(settings.server_url, each.name), utc_now)
        for each in settings.oidc.providers
    }
    await _discover(providers, needed=settings.oidc.needed_at_start)
    sealer = TokenSealer(noise_key, secrets.token_bytes)
    refresher = IdentityRefresher(
        services.identities,
        providers,
        sealer,
        utc_now,
        settings.oidc.refresh_interval,
        services.company.on_duty,
    )
    refresher.start()
    stack.push_async_callback(refresher.close)
    return OIDCPages(
        providers=providers,
        identities=services.identities,
        approval=LoginApproval(services.tailnet, services.registration, services.logins, services.checks),
        sealer=sealer,
        server_url=settings.server_url,
        clock=utc_now,
        random_hex=secrets.token_hex,
    )


async def _discover(providers: Mapping[str, Provider], *, needed: bool) -> None:
    answers = await asyncio.gather(
        *(provider.discover() for provider in providers.values()), return_exceptions=True
    )
    for answer in answers:
        if isinstance(answer, UnavailableError) and not needed:
            log.warning("identity provider not available", error=answer.message)
        elif answer is not None:
            raise answer
