"""The ways to answer requests for access besides the API, put together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from coordinator.assembly import Services
from coordinator.derived_keys import derive_key
from coordinator.services.access_answers import AccessAnswers
from coordinator.services.access_people import AccessPeople
from coordinator.settings.model import Settings
from coordinator.tailnet.answer_tokens import AnswerTokens
from coordinator.web.access_links import AccessLinkPages
from coordinator.web.api.access_links import AccessLinkRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessWays:
    """What the listeners get: a noun of the API, and pages of the public listener."""

    api: AccessLinkRoutes
    public: list[web.RouteDef]


async def start_access(
    stack: AsyncExitStack, settings: Settings, noise_key: bytes, services: Services
) -> AccessWays:
    """Start what runs by itself; the stack stops it."""
    people = AccessPeople(services.tailnet, services.access)
    tokens = AnswerTokens(derive_key(noise_key, "access answers"))
    answers = AccessAnswers(services.tailnet, services.access, people, tokens, settings.server_url)
    return AccessWays(
        api=AccessLinkRoutes(answers, services.users, services.api_keys.speaks_for_all),
        public=AccessLinkPages(answers, people).routes(),
    )
