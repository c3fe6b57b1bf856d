"""Logging in with a browser: to the provider and back, the question to confirm, signing out.

A machine's link leads to the provider; its answer comes to `/oidc/callback`; then the person confirms what
was asked for, so that a link alone, sent to somebody who is logged in already, lets no machine in. Nothing
here keeps people logged in: the session cookie is only good for signing out. Who keeps them logged in, as the
pages of access do, takes them over with `on_arrival`.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.oidc.filters import require_allowed
from coordinator.oidc.identity import make_identity
from coordinator.oidc.login_states import BrowserSession, Confirmation, LoginState, SingleUse
from coordinator.oidc.provider import Provider
from coordinator.oidc.sealing import TokenSealer
from coordinator.services.identities import IdentityService
from coordinator.services.login_approval import LoginApproval
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import CoordinatorError, UnauthenticatedError
from coordinator.tailnet.users import User, UserID
from coordinator.web.errors import STATUS
from coordinator.web.origin import source_of
from coordinator.web.public import page

log = structlog.get_logger(__name__)

CALLBACK_PATH = "/oidc/callback"
SIGNED_OUT_PATH = "/oidc/signed-out"
CONFIRM_COOKIE = "headscale_register_confirm"
SESSION_COOKIE = "coordinator_sign_out"
COOKIE_SECONDS = 3600
CONFIRM_SECONDS = 900
SESSION_LIFETIME = timedelta(hours=1)
_CODE_LENGTH = 4096
_CONFIRM_PATHS = {"register": "/register/confirm/", "ssh": "/auth/confirm/"}


class OIDCPages:
    """Handlers of the public listener that people with a browser meet.

    Args:
        providers: By name, in the order of the configuration.
        identities: Makes users of identities.
        approval: Carries out what was confirmed.
        sealer: For refresh tokens.
        server_url: Where browsers reach this server.
        clock: Judges how old a login is.
        random_hex: Secret hex text of so many bytes.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        identities: IdentityService,
        approval: LoginApproval,
        sealer: TokenSealer,
        server_url: str,
        clock: Clock,
        random_hex: Callable[[int], str],
    ) -> None:
        self._providers = providers
        self._identities = identities
        self._approval = approval
        self._sealer = sealer
        self._base = server_url.rstrip("/")
        self._secure = urlsplit(server_url).scheme == "https"
        self._clock = clock
        self._random_hex = random_hex
        self._states: SingleUse[LoginState] = SingleUse(clock, random_hex, subject=_about)
        self._confirmations: SingleUse[Confirmation] = SingleUse(clock, random_hex, subject=_about)
        self._arrivals: dict[str, Callable[[User], web.Response]] = {}
        self._sessions: SingleUse[BrowserSession] = SingleUse(clock, random_hex, SESSION_LIFETIME)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers by name."""
        return self._providers

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get(CALLBACK_PATH, self._callback),
            web.get(CALLBACK_PATH + "/{provider}", self._callback),
            web.post("/register/confirm/{subject}", self._confirm_machine),
            web.post("/auth/confirm/{subject}", self._confirm_session),
            web.post("/oidc/sign-out", self._sign_out),
            web.get(SIGNED_OUT_PATH, self._signed_out),
        ]

    def on_arrival(self, purpose: str, answer: Callable[[User], web.Response]) -> None:
        """Logins begun with this purpose end with that answer; nothing has to be confirmed."""
        self._arrivals[purpose] = answer

    async def begin(self, request: web.Request, purpose: str, subject: str) -> web.Response | None:
        """Send a browser to the provider it chose; with several, let it choose. None: no provider answers."""
        ready = {name: each for name, each in self._providers.items() if await each.ready()}
        if not ready:
            return None
        chosen = request.query.get("provider", "")
        if len(self._providers) > 1 and chosen not in ready:
            return self._choice(request, ready)
        return self._send(ready.get(chosen) or next(iter(ready.values())), purpose, subject)

    def _choice(self, request: web.Request, ready: Mapping[str, Provider]) -> web.Response:
        links = "".join(
            f'<li><a href="{html.escape(request.path)}?provider={quote(name)}">'
            f"{html.escape(provider.config.title)}</a></li>"
            for name, provider in ready.items()
        )
        return page(200, "Log in", f"<p>Where do you have your account?</p><ul>{links}</ul>")

    def _send(self, provider: Provider, purpose: str, subject: str) -> web.Response:
        nonce, verifier = self._random_hex(32), self._random_hex(32)
        state = self._states.put(
            LoginState(
                provider=provider.config.name,
                purpose=purpose,
                subject=subject,
                nonce=nonce,
                verifier=verifier,
                began=self._clock(),
            )
        )
        url = provider.authorization_url(state=state, nonce=nonce, verifier=verifier)
        response = web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
        for name, value in ((f"state_{state[:6]}", state), (f"nonce_{nonce[:6]}", nonce)):
            self._set_cookie(response, name, value, CALLBACK_PATH, COOKIE_SECONDS, "Lax")
        return response

    async def _callback(self, request: web.Request) -> web.Response:
        with acting_from(Origin(source=source_of(request))):
            try:
                state = self._take_state(request)
                response = await self._arrived(request, state)
            except CoordinatorError as error:
                log.info("login refused", reason=error.message)
                return _failed(error)
        for name in (f"state_{request.query['state'][:6]}", f"nonce_{state.nonce[:6]}"):
            response.del_cookie(name, path=CALLBACK_PATH)
        return response

    def _take_state(self, request: web.Request) -> LoginState:
        """The login this answer belongs to, once, and only in the browser that began it."""
        key = request.query.get("state", "")
        held = request.cookies.get(f"state_{key[:6]}", "")
        if len(key) != 64 or not secrets.compare_digest(key.encode(), held.encode()):
            raise UnauthenticatedError(
                "this browser did not begin this login, or too long ago; open the machine's link again"
            )
        state = self._states.take(key)
        if state is None:
            raise UnauthenticatedError("this login is over or too old; open the machine's link again")
        nonce = request.cookies.get(f"nonce_{state.nonce[:6]}", "")
        if not secrets.compare_digest(nonce.encode(), state.nonce.encode()):
            raise UnauthenticatedError("the login's cookie is missing; open the machine's link again")
        return state

    async def _arrived(self, request: web.Request, state: LoginState) -> web.Response:
        provider = self._providers[state.provider]
        provider.require_arrival(request.path)
        provider.require_issuer(request.query.get("iss"))
        if "error" in request.query:
            said = request.query.get("error_description") or request.query["error"]
            raise UnauthenticatedError(f"the provider did not log you in: {said[:200]}")
        code = request.query.get("code", "")
        if not 0 < len(code) <= _CODE_LENGTH:
            raise UnauthenticatedError("the provider's answer holds no code")
        grant = await provider.exchange(code, nonce=state.nonce, verifier=state.verifier)
        identity = make_identity(provider.config, grant.claims)
        require_allowed(provider.config, identity, grant.claims)
        sealed = self._sealer.seal(grant.refresh_token, identity.identifier) if grant.refresh_token else ""
        user = await self._identities.log_in(identity, sealed)
        if state.purpose in self._arrivals:
            return self._arrivals[state.purpose](user)
        question = self._approval.question(state.purpose, state.subject, user)
        token = self._confirmations.put(
            Confirmation(
                purpose=state.purpose,
                subject=state.subject,
                user_id=user.id,
                expiry=grant.expires if provider.config.use_expiry_from_token else None,
                began=self._clock(),
            )
        )
        response = _ask(_CONFIRM_PATHS[state.purpose] + state.subject, question, user, token)
        confirm_path = _CONFIRM_PATHS[state.purpose] + state.subject
        self._set_cookie(response, CONFIRM_COOKIE, token, confirm_path, CONFIRM_SECONDS, "Strict")
        if grant.id_token:
            session = self._sessions.put(
                BrowserSession(provider=state.provider, id_token=grant.id_token, began=self._clock())
            )
            self._set_cookie(response, SESSION_COOKIE, session, "/oidc", COOKIE_SECONDS, "Strict")
        return response

    async def _confirm_machine(self, request: web.Request) -> web.Response:
        return await self._confirm(request, "register")

    async def _confirm_session(self, request: web.Request) -> web.Response:
        return await self._confirm(request, "ssh")

    async def _confirm(self, request: web.Request, purpose: str) -> web.Response:
        subject = request.match_info["subject"]
        with acting_from(Origin(source=source_of(request))):
            try:
                confirmed = await self._take_confirmation(request, purpose, subject)
                done = await self._approval.carry_out(
                    purpose, subject, UserID(confirmed.user_id), confirmed.expiry
                )
            except CoordinatorError as error:
                log.info("login refused", reason=error.message)
                return _failed(error)
        form = '<form method="post" action="/oidc/sign-out"><button>Sign out at the provider</button></form>'
        response = _private(page(200, "Done", f"<p>{html.escape(done)} You can close this page.</p>{form}"))
        response.del_cookie(CONFIRM_COOKIE, path=_CONFIRM_PATHS[purpose] + subject)
        return response

    async def _take_confirmation(self, request: web.Request, purpose: str, subject: str) -> Confirmation:
        """What this browser was asked; the form and the cookie must both know its token."""
        form = await request.post()
        token, held = str(form.get("csrf", "")), request.cookies.get(CONFIRM_COOKIE, "")
        if not token or not secrets.compare_digest(token.encode(), held.encode()):
            raise UnauthenticatedError("this page was not opened by a login in this browser; log in again")
        confirmed = self._confirmations.take(token)
        if confirmed is None or (confirmed.purpose, confirmed.subject) != (purpose, subject):
            raise UnauthenticatedError("this question is answered already, or too old; log in again")
        return confirmed

    async def _sign_out(self, request: web.Request) -> web.Response:
        session = self._sessions.take(request.cookies.get(SESSION_COOKIE, ""))
        where = None
        if session is not None:
            provider = self._providers[session.provider]
            where = provider.end_session_url(session.id_token, self._base + SIGNED_OUT_PATH)
        headers = {"Location": where or SIGNED_OUT_PATH, "Cache-Control": "no-store"}
        response = web.Response(status=303, headers=headers)
        response.del_cookie(SESSION_COOKIE, path="/oidc")
        return response

    async def _signed_out(self, request: web.Request) -> web.Response:
        return page(200, "Signed out", "<p>Your machines stay connected.</p>")

    def _set_cookie(
        self, response: web.Response, name: str, value: str, path: str, seconds: int, same_site: str
    ) -> None:
        response.set_cookie(
            name, value, path=path, max_age=seconds, httponly=True, secure=self._secure, samesite=same_site
        )


def _about(login: LoginState | Confirmation) -> str:
    """The machine or session a login lets in; nothing where people log in for themselves."""
    return login.subject if login.purpose in _CONFIRM_PATHS else ""


def _ask(action: str, question: Mapping[str, str], user: User, token: str) -> web.Response:
    rows = "".join(
        f"<tr><th style='text-align:left;padding-right:1rem'>{html.escape(name)}</th>"
        f"<td>{html.escape(value)}</td></tr>"
        for name, value in question.items()
    )
    body = (
        f"<p>You are <b>{html.escape(user.login)}</b>.</p><table>{rows}</table>"
        f'<form method="post" action="{html.escape(quote(action))}">'
        f'<input type="hidden" name="csrf" value="{token}">'
        "<p>If you did not ask for this yourself just now, close this page.</p>"
        '<button id="confirm">Confirm</button></form>'
    )
    return _private(page(200, "Is this yours?", body))


def _failed(error: CoordinatorError) -> web.Response:
    status = STATUS.get(error.code, 500)
    return _private(page(status, "Not logged in", f"<p>{html.escape(error.message)}</p>"))


def _private(response: web.Response) -> web.Response:
    response.headers["Cache-Control"] = "no-store"
    return response
