"""The composition root: the only place that picks concrete parts and puts them together."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import ssl
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic

import structlog
import uvloop
from aiohttp import web

from acl import PolicyError, parse_policy
from acl.profiles import UNKNOWN_PROFILE
from coordinator.access_setup import start_access
from coordinator.api_nouns import api_nouns
from coordinator.assembly import ServerKeys, Services, open_store, start_services, utc_now
from coordinator.audit_setup import start_audit
from coordinator.control.device_attributes_handler import DeviceAttributesHandler
from coordinator.control.h2_server import ControlServer
from coordinator.control.id_token_handler import IDTokenHandler
from coordinator.control.map_handler import MapHandler
from coordinator.control.register_handler import RegisterHandler
from coordinator.control.router import Router
from coordinator.control.ssh_action_handler import SSHActionHandler
from coordinator.id_token_key import load_or_create_id_token_key
from coordinator.listeners import BACKLOG, inherited_sockets, listen, restart_in_place
from coordinator.map_settings import ANY_RELAY, map_config
from coordinator.measuring import measure
from coordinator.netmap.ssh import ACTION_PATH
from coordinator.noise.keys import public_key
from coordinator.noise_key import load_noise_key, load_or_create_noise_key
from coordinator.oidc_setup import start_oidc
from coordinator.services.id_tokens import IDTokens
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.settings.model import Settings
from coordinator.tailcfg.errors import WireError
from coordinator.tailcfg.keys import (
    MachineKey,
    machine_key_from_bytes,
    node_key_from_bytes,
    parse_node_key,
    raw_bytes,
)
from coordinator.tailnet.errors import CoordinatorError, InvalidError
from coordinator.telemetry.collector import Collector
from coordinator.telemetry.logging import configure_logging
from coordinator.telemetry.metrics import METRICS
from coordinator.telemetry.tasks import spawn
from coordinator.version import version_document
from coordinator.web.api.acting import SOCKET_ACTOR
from coordinator.web.api.app import api_app
from coordinator.web.api.bearer import BearerGuard
from coordinator.web.api.body import MAX_BODY
from coordinator.web.api.superiors import Superiors
from coordinator.web.auth_pages import AuthPages
from coordinator.web.deadline import KEEPALIVE_SECONDS, FirstRequestDeadline
from coordinator.web.forwarded import TrustedProxies
from coordinator.web.id_token_pages import IDTokenPages
from coordinator.web.metrics_page import metrics_app
from coordinator.web.middleware import add_headers, errors, keeping_up
from coordinator.web.oidc_pages import OIDCPages
from coordinator.web.public import PublicPages
from coordinator.web.rate_limits import page_limits
from coordinator.web.tailnet_access import TailnetVisitors, tailnet_app
from coordinator.web.visitors import proven_visitor
from coordinator.web.wireguard_routes import OpenWireGuardRoutes, WireGuardRoutes
from coordinator.wireguard_edge import alert_sinks, wireguard_callers
from derp.admission import Admission, AllowAll
from derp.certificate import CertificateError, ensure_self_signed
from derp.keys import KeyFormatError, load_or_create_private_key
from derp.server import Relay
from derp.standalone import server_context
from derp.stun_server import serve_stun

log = structlog.get_logger(__name__)

FIRST_USER = "first"
FIRST_KEY_LIFETIME = timedelta(hours=24)
SHUTDOWN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Stop:
    """How the server was told to end."""

    restart: bool


def run(settings: Settings, notices: list[str], *, quickstart: bool, config_path: Path | None) -> int:
    """Run the server until a signal ends it.

    Args:
        settings: As loaded.
        notices: Lines about the configuration, logged at start.
        quickstart: Create a first user and key if there is none, and print what to paste on a client.
        config_path: Where the settings came from, for the printed commands.

    Returns:
        The exit code.
    """
    configure_logging(settings.log_level, settings.log_format)
    for notice in notices:
        log.warning("configuration", notice=notice)
    server = Server(settings)
    try:
        stop = uvloop.run(server.serve(quickstart=quickstart, config_path=config_path))
    except (CoordinatorError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except PolicyError as error:
        shown = "\n  ".join(str(problem) for problem in error.problems)
        print(f"Error: the policy is wrong, so the server does not start:\n  {shown}", file=sys.stderr)
        return 1
    if stop.restart:
        restart_in_place(server.sockets)
    return 0


def check_configuration(settings: Settings) -> list[str]:
    """What `configtest` looks at beyond the file itself: everything the settings name."""
    problems: list[str] = []
    if settings.policy_path is not None and not settings.policy_in_database:
        try:
            parse_policy(settings.policy_path.read_text(encoding="utf-8"))
        except PolicyError as error:
            # A test may speak of a profile that is declared on the server, which only the server knows.
            known = [problem for problem in error.problems if problem.code != UNKNOWN_PROFILE]
            problems += [f"{settings.policy_path}: {problem}" for problem in known]
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"policy.path: {error}")
    try:
        # Nothing is fetched for a check; that there will be some relay is taken for granted.
        map_config(settings, certificate_sha256=None, fetched=[ANY_RELAY] if settings.derp_urls else ())
    except InvalidError as error:
        problems.append(error.message)
    for name, path in (("tls_cert_path", settings.tls_cert_path), ("tls_key_path", settings.tls_key_path)):
        if path is not None and not path.is_file():
            problems.append(f"{name}: {path} does not exist")
    if settings.noise_private_key_path.exists():
        try:
            load_noise_key(settings.noise_private_key_path)
        except InvalidError as error:
            problems.append(error.message)
    return problems


class TailnetAdmission:
    """Who may use the embedded relay: nodes of this tailnet whose key is valid."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def admit(self, node_key: bytes, source: str) -> bool:
        """Whether the holder of this NodeKey may relay."""
        return _may_relay(self._tailnet, node_key_from_bytes(node_key))


class Server:
    """One server process. `sockets` are its TCP listeners by name, for a restart in place."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sockets: dict[str, socket.socket] = {}
        self._inherited: dict[str, socket.socket] = {}
        self._services: Services
        self._oidc: OIDCPages | None = None
        self._stop: asyncio.Future[_Stop] | None = None

    async def serve(self, *, quickstart: bool, config_path: Path | None) -> _Stop:
        """Start, serve until told to end, stop cleanly."""
        stop: asyncio.Future[_Stop] = asyncio.get_running_loop().create_future()
        self._stop = stop
        self._inherited = inherited_sockets(os.environ, os.getpid())
        async with AsyncExitStack() as stack:
            policy = await self.start(stack)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _end, stop, _Stop(restart=False))
            loop.add_signal_handler(signal.SIGUSR2, _end, stop, _Stop(restart=True))
            self._services.tailnet.on_stranger(self._begin_again)
            loop.add_signal_handler(signal.SIGHUP, lambda: spawn("policy reload", policy.reload()))
            # For a process of its own; within somebody else's the collector is not ours to rein in.
            collector = Collector()
            collector.begin()
            collecting = spawn("garbage collector", collector.run())
            stack.callback(collecting.cancel)
            log.info("ready", server_url=self._settings.server_url, version=version_document()["version"])
            if quickstart:
                await self._greet(config_path)
            result = await stop
            log.info("stopping", restart=result.restart)
        return result

    def _begin_again(self) -> None:
        """What is in memory cannot be brought in line with what is stored: load it anew."""
        if self._stop is not None:
            _end(self._stop, _Stop(restart=True))

    async def start(self, stack: AsyncExitStack) -> PolicyService:
        """Build and start everything; the stack stops it in reverse order.

        Raises:
            CoordinatorError, PolicyError, OSError: what is wrong, fit to be shown; nothing is left running.
        """
        if _socket_in_use(self._settings.unix_socket):
            raise InvalidError(f"another server is running on {self._settings.unix_socket}")
        noise_key = load_or_create_noise_key(self._settings.noise_private_key_path)
        pin = self._relay_certificate()
        store = await open_store(self._settings.database, stack, noise_key)
        services = self._services = await start_services(
            self._settings, stack, store, ServerKeys(noise=_public_text(noise_key), relay_certificate=pin)
        )
        tailnet = services.tailnet
        signing_key = load_or_create_id_token_key(self._settings.id_token_key_path)
        tokens = IDTokens(tailnet, signing_key, self._settings.server_url, secrets.token_hex, monotonic)
        control = _control_server(noise_key, services, tokens)
        self._oidc = await start_oidc(stack, self._settings, noise_key, services)
        ways = await start_access(stack, self._settings, noise_key, services, self._oidc)
        relay = await self._start_relay(stack, tailnet)
        audit = await start_audit(
            stack,
            self._settings.audit,
            services.store,
            tailnet,
            services.policy,
            alert_sinks(self._settings.wireguard),
            on_duty=services.company.on_duty,
        )
        wireguard = WireGuardRoutes(services.wireguard, services.users, services.limits)
        nouns = [*api_nouns(services, audit), ways.api, wireguard]
        local = [*nouns, OpenWireGuardRoutes(wireguard)]
        api = api_app(
            local, services.healthy, version_document(), services.refusals, services.company.catch_up
        )
        await self._serve_api(stack, api)
        guard = BearerGuard(
            services.api_keys, services.limits, tokens, services.refusals, Superiors(services.users)
        )
        remote = [guard.guard(route) for noun in nouns for route in noun.routes()]
        remote += wireguard.public_routes(wireguard_callers(services, self._oidc).guard)
        pages = [*IDTokenPages(tokens).routes(), *self._pages(noise_key).routes(), *ways.public]
        await self._serve_public(stack, [*remote, *pages], control, relay)
        # Gateways that wait for news are answered before the listener waits for its requests to end.
        stack.callback(services.wireguard.wishes.let_go)
        inside = [route for noun in nouns for route in noun.routes()]
        await self._serve_tailnet(stack, tailnet, [*inside, *ways.pages(proven_visitor)])
        lag = spawn("loop lag", measure(tailnet))
        stack.callback(lag.cancel)
        return services.policy

    # the relay

    def _relay_certificate(self) -> str | None:
        """The pin of the relay's own certificate, if it has a listener of its own."""
        settings = self._settings
        if not settings.relay.enabled or not settings.plain_http or settings.relay.tls_listen_addr is None:
            return None
        try:
            return ensure_self_signed(
                settings.relay.tls_cert_path, settings.relay.tls_key_path, [settings.server_host]
            )
        except CertificateError as error:
            raise InvalidError(str(error)) from error

    async def _start_relay(self, stack: AsyncExitStack, tailnet: Tailnet) -> Relay | None:
        settings = self._settings.relay
        if not settings.enabled:
            return None
        try:
            private_key = load_or_create_private_key(settings.private_key_path)
        except KeyFormatError as error:
            raise InvalidError(f"derp.server.private_key_path: {error}") from error
        admission: Admission = TailnetAdmission(tailnet) if settings.verify_clients else AllowAll()
        relay = Relay(private_key=private_key, admission=admission, metrics=METRICS.registry)
        tailnet.on_departure(lambda node: relay.disconnect(raw_bytes(node.node_key)))
        await relay.start()
        if settings.stun_listen_addr is not None:
            host, port = settings.stun_listen_addr
            try:
                stun = await serve_stun(host, port)
            except OSError as error:
                place = f"derp.server.stun_listen_addr: cannot listen on {host}:{port} (UDP)"
                raise InvalidError(f"{place}: {error.strerror}") from error
            stack.push_async_callback(stun.close)
        return relay

    # listeners

    def _pages(self, noise_key: bytes) -> PublicPages:
        services = self._services
        return PublicPages(
            machine_key=_public_text(noise_key),
            version=version_document(),
            healthy=services.healthy,
            verify=lambda text: _may_relay(services.tailnet, text),
            logins=services.logins,
            log_in=self._oidc.begin if self._oidc else None,
        )

    async def _serve_public(
        self,
        stack: AsyncExitStack,
        routes: list[web.RouteDef],
        control: ControlServer,
        relay: Relay | None,
    ) -> None:
        settings = self._settings
        app = web.Application(
            middlewares=[
                TrustedProxies(settings.trusted_proxies).middleware(),
                errors,
                page_limits(self._services.limits),
                keeping_up(self._services.company.catch_up),
            ],
            client_max_size=MAX_BODY,
        )
        app.on_response_prepare.append(add_headers)
        app.router.add_routes(routes)
        log_in = self._oidc.begin if self._oidc else None
        app.router.add_routes(AuthPages(self._services.checks, log_in).routes())
        if self._oidc is not None:
            app.router.add_routes(self._oidc.routes())
        app.router.add_routes(control.routes())
        if relay is not None:
            app.router.add_routes(relay.routes())
        if relay is not None and settings.plain_http and settings.relay.tls_listen_addr is not None:
            relay_app = web.Application()
            relay_app.router.add_routes(relay.routes())
            tls = _tls(settings.relay.tls_cert_path, settings.relay.tls_key_path)
            await self._listen(stack, "derp", relay_app, settings.relay.tls_listen_addr, tls)
        if settings.metrics_listen_addr is not None:
            metrics = metrics_app(METRICS.render)
            await self._listen(stack, "metrics", metrics, settings.metrics_listen_addr, None)
        main_tls = None
        if settings.tls_cert_path is not None and settings.tls_key_path is not None:
            main_tls = _tls(settings.tls_cert_path, settings.tls_key_path)
        await self._listen(stack, "main", app, settings.listen_addr, main_tls)
        # Stopped before the listeners, so that clients come back to a port that is still open.
        stack.push_async_callback(control.close, SHUTDOWN_SECONDS)
        if relay is not None:
            stack.push_async_callback(relay.close)

    async def _listen(
        self,
        stack: AsyncExitStack,
        name: str,
        app: web.Application,
        address: tuple[str, int],
        tls: ssl.SSLContext | None,
        *,
        awaited: bool = False,
    ) -> None:
        sock = listen(address, self._inherited.pop(name, None), awaited=awaited)
        # A copy stays here, so that stopping the site does not close the listener before a restart.
        self.sockets[name] = sock.dup()
        deadline = FirstRequestDeadline()
        app.middlewares.insert(0, deadline.middleware())
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=KEEPALIVE_SECONDS
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        if runner.server is None:
            raise InvalidError(f"the {name} listener has no application")
        listener = await asyncio.get_running_loop().create_server(
            deadline.factory(runner.server), sock=sock, ssl=tls, backlog=BACKLOG
        )
        stack.callback(listener.close)

    async def _serve_tailnet(
        self, stack: AsyncExitStack, tailnet: Tailnet, routes: list[web.RouteDef]
    ) -> None:
        """Access for whoever comes through the tailnet; its address may come up later than this server."""
        address = self._settings.access_tailnet_listen_addr
        if address is not None:
            app = tailnet_app(TailnetVisitors(tailnet, self._settings.server_url), routes)
            await self._listen(stack, "access", app, address, None, awaited=True)

    async def _serve_api(self, stack: AsyncExitStack, app: web.Application) -> None:
        path = self._settings.unix_socket
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        previous = os.umask(0o177)
        try:
            await web.UnixSite(runner, str(path)).start()
        finally:
            os.umask(previous)
        path.chmod(self._settings.unix_socket_permission)

    async def _greet(self, config_path: Path | None) -> None:
        """First start: a user and a key. Always: what to do next."""
        program = Path(sys.argv[0])
        # As it was called; `python -m coordinator` leaves the path of a file nobody would type.
        name = "coordinator" if program.name == "__main__.py" else str(program)
        command = f"{name} -c {config_path}" if config_path else name
        login = f"tailscale up --login-server={self._settings.server_url}"
        if self._services.users.list():
            print(
                f"\nServing {self._settings.server_url}. Another machine joins with a key from\n"
                f"  {command} preauthkeys create --user {self._services.users.list()[0].name}\n"
                f"and, on the machine,\n  {login} --auth-key=KEY\n",
                flush=True,
            )
            return
        user = await self._services.users.create(FIRST_USER, actor=SOCKET_ACTOR)
        _, secret = await self._services.keys.create(
            user_id=user.id,
            reusable=True,
            expiration=utc_now() + FIRST_KEY_LIFETIME,
            actor=SOCKET_ACTOR,
        )
        print(
            f"\nServing {self._settings.server_url}.\n"
            "Paste this on each machine that shall join (works for 24 hours):\n\n"
            f"  {login} --auth-key={secret}\n\n"
            f"Look at them with:  {command} nodes list\n",
            flush=True,
        )


def _control_server(noise_key: bytes, services: Services, tokens: IDTokens) -> ControlServer:
    """What answers clients."""
    return ControlServer(
        noise_key,
        Router(
            {
                ("POST", "/machine/register"): RegisterHandler(services.registration),
                ("POST", "/machine/map"): MapHandler(services.tailnet, services.sessions, services.nodes),
                ("PATCH", "/machine/set-device-attr"): DeviceAttributesHandler(
                    services.tailnet, services.attributes
                ),
                ("POST", "/machine/id-token"): IDTokenHandler(tokens),
                ("GET", ACTION_PATH): SSHActionHandler(services.checks),
            }
        ),
    )


def _public_text(noise_key: bytes) -> MachineKey:
    return machine_key_from_bytes(public_key(noise_key))


def _end(stop: asyncio.Future[_Stop], how: _Stop) -> None:
    if not stop.done():
        stop.set_result(how)


def _may_relay(tailnet: Tailnet, node_key: str) -> bool:
    try:
        record = tailnet.snapshot.record_by_key(parse_node_key(node_key))
    except WireError:
        return False
    return record is not None and not record.secluded


def _tls(cert_path: Path, key_path: Path) -> ssl.SSLContext:
    try:
        return server_context(cert_path, key_path)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(f"cannot load the certificate {cert_path} with {key_path}: {error}") from error


def _socket_in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
