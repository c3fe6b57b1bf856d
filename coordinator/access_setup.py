"""The ways to answer requests for access besides the API, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from coordinator.assembly import Services, utc_now
from coordinator.audit.entry import GENESIS, Cursor
from coordinator.audit.export import Exporter
from coordinator.derived_keys import derive_key
from coordinator.services.access_answers import AccessAnswers
from coordinator.services.access_events import AccessEvents
from coordinator.services.access_people import AccessPeople
from coordinator.settings.model import Settings
from coordinator.settings.webhooks import AccessWebhook
from coordinator.store.audit_log import AuditLog
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.answer_tokens import AnswerTokens
from coordinator.web.access_hooks import HOOK_PATH, AccessHookRoutes
from coordinator.web.access_links import AccessLinkPages
from coordinator.web.access_pages import AccessPages, Identify
from coordinator.web.access_sessions import PURPOSE, AccessSessions
from coordinator.web.api.access_links import AccessLinkRoutes, links_view
from coordinator.web.oidc_pages import OIDCPages
from coordinator.webhooks.config import EVENT_NAMES, KINDS, HookConfig
from coordinator.webhooks.delivery import WebhookSink
from coordinator.webhooks.events import AccessEvent
from coordinator.webhooks.messages import Buttons


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessWays:
    """What the listeners get: a noun of the API, pages of the public listener, and pages for a listener that
    knows who visits."""

    api: AccessLinkRoutes
    public: list[web.RouteDef]
    pages: Callable[[Identify], list[web.RouteDef]]


async def start_access(
    stack: AsyncExitStack,
    settings: Settings,
    noise_key: bytes,
    services: Services,
    oidc: OIDCPages | None,
) -> AccessWays:
    """Start what runs by itself; the stack stops it. With `oidc` people may log in to the pages."""
    people = AccessPeople(services.tailnet, services.access)
    tokens = AnswerTokens(derive_key(noise_key, "access answers"))
    answers = AccessAnswers(services.tailnet, services.access, people, tokens, settings.server_url)
    hooks = [hook_config(each, settings.server_url) for each in settings.access_webhooks]
    events = AccessEvents(services.tailnet, services.access, people)
    await _start_messages(stack, hooks, services.store.audit, events, answers)
    incoming = AccessHookRoutes(
        hooks,
        answers=answers,
        people=people,
        users=services.users,
        limits=services.limits,
        clock=utc_now,
    )
    stack.push_async_callback(incoming.close)
    form_key = derive_key(noise_key, "access forms")

    def pages(identify: Identify) -> list[web.RouteDef]:
        made = AccessPages(
            access=services.access, people=people, identify=identify, form_key=form_key, clock=utc_now
        )
        return made.routes()

    public = [*AccessLinkPages(answers, people).routes(), *incoming.routes()]
    if oidc is not None:
        sessions = AccessSessions(
            people,
            derive_key(noise_key, "access sessions"),
            utc_now,
            limits=services.limits,
            secure=not settings.plain_http,
            log_in=oidc.begin,
        )
        oidc.on_arrival(PURPOSE, sessions.arrived)
        with_sessions = AccessPages(
            access=services.access,
            people=people,
            identify=sessions.identify,
            form_key=form_key,
            clock=utc_now,
            welcome=sessions.welcome,
            sign_out=sessions.sign_out,
        )
        public += with_sessions.routes()
    return AccessWays(
        api=AccessLinkRoutes(answers, services.users, services.api_keys.speaks_for_all),
        public=public,
        pages=pages,
    )


def hook_config(settings: AccessWebhook, server_url: str) -> HookConfig:
    """A webhook as configured, with the address of its answers."""
    return HookConfig(
        name=settings.name,
        kind=next(kind for kind in KINDS if kind == settings.kind),
        url=settings.url,
        secret=settings.secret.reveal(),
        users=settings.users,
        events=frozenset(name for name in EVENT_NAMES if name in settings.events),
        links=settings.links,
        answer_url=server_url.rstrip("/") + HOOK_PATH + settings.name,
    )


async def _start_messages(
    stack: AsyncExitStack,
    hooks: Sequence[HookConfig],
    audit: AuditLog,
    events: AccessEvents,
    answers: AccessAnswers,
) -> None:
    if not hooks:
        return

    def offer(hook: HookConfig, event: AccessEvent) -> Buttons:
        return Buttons(
            approve=answers.offer(hook.channel, event.request, "approve"),
            deny=answers.offer(hook.channel, event.request, "deny"),
            url=hook.answer_url,
        )

    async def link(hook: HookConfig, event: AccessEvent) -> Sequence[Mapping[str, str]]:
        actor = Actor(kind="system", name=hook.channel)
        return [links_view(each) for each in await answers.links(event.request.id, actor=actor)]

    sinks = [
        WebhookSink(hook, describe=events.describe, offer=offer, link=link, clock=utc_now) for hook in hooks
    ]
    await _begin_now(audit, [sink.name for sink in sinks])
    exporter = Exporter(audit, sinks)
    exporter.start()
    stack.push_async_callback(exporter.close)


async def _begin_now(audit: AuditLog, names: Sequence[str]) -> None:
    """A new webhook tells what happens from now on, not what the log holds already."""
    known = {cursor.sink for cursor in await audit.cursors()}
    head = await audit.head()
    last_id, last_hash = (head.last_id, head.last_hash) if head is not None else (0, GENESIS)
    for name in names:
        if name not in known:
            await audit.save_cursor(Cursor(name, last_id, last_hash))
