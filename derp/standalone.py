"""A relay with its own listeners: TCP or TLS, STUN, metrics. Runs until told to stop.

Called by `__main__`. A relay inside a larger server uses `server.Relay` and none of this.
"""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from derp.admission import Admission, AllowAll, KeyList, VerifyURL
from derp.certificate import ensure_self_signed
from derp.keys import load_or_create_private_key
from derp.server import Relay
from derp.settings import Endpoint, Settings
from derp.stun_server import serve_stun

__all__ = ["run", "server_context"]

log = structlog.get_logger(__name__)


def server_context(cert_path: Path, key_path: Path) -> ssl.SSLContext:
    """TLS as clients want it: 1.2 or newer, and HTTP/1.1 only, as HTTP/2 has no such upgrade.

    Raises:
        OSError, ssl.SSLError: the files cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert_path, key_path)
    return context


async def run(settings: Settings, *, stop: asyncio.Event, ready: "asyncio.Future[int] | None" = None) -> None:
    """Serve until `stop` is set.

    Args:
        ready: gets the TCP port once everything listens; for those who let the system choose one.
    Raises:
        OSError: a file or an address cannot be used.
        KeyFormatError, CertificateError: a file holds something else.
    """
    metrics = CollectorRegistry()
    async with AsyncExitStack() as open_things:
        relay = Relay(
            private_key=load_or_create_private_key(settings.key_file),
            admission=_admission(settings, open_things),
            metrics=metrics,
            bootstrap_names=settings.bootstrap_names,
        )
        await relay.start()
        relay_app = web.Application()
        relay_app.add_routes(relay.routes())
        port = await _listen(relay_app, settings.listen, _tls(settings), open_things)
        # Pushed after the listener, so closed before it: first the connections, then the port.
        open_things.push_async_callback(relay.close)
        if settings.stun is not None:
            stun = await serve_stun(settings.stun.host, settings.stun.port)
            open_things.push_async_callback(stun.close)
        if settings.metrics is not None:
            await _listen(_metrics_app(metrics), settings.metrics, None, open_things)
        log.info(
            "derp relay started",
            listen=str(settings.listen),
            stun=str(settings.stun) if settings.stun else None,
            public_key=relay.public_key.hex(),
        )
        if ready is not None:
            ready.set_result(port)
        await stop.wait()
        log.info("derp relay stopping", connections=relay.stats.connections)


async def _listen(
    app: web.Application, endpoint: Endpoint, tls: ssl.SSLContext | None, open_things: AsyncExitStack
) -> int:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    open_things.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, endpoint.host or None, endpoint.port, ssl_context=tls).start()
    port: int = runner.addresses[0][1]
    return port


def _admission(settings: Settings, open_things: AsyncExitStack) -> Admission:
    if settings.allow_all:
        return AllowAll()
    if settings.verify_url is None:
        return KeyList(settings.allow_keys)
    verify = VerifyURL(settings.verify_url)
    open_things.push_async_callback(verify.close)
    return verify


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.cert_path is None or settings.tls_key_path is None:
        return None
    if settings.self_signed:
        pin = ensure_self_signed(settings.cert_path, settings.tls_key_path, settings.hostnames)
        log.info("derp certificate", cert_name=f"sha256-raw:{pin}")
    return server_context(settings.cert_path, settings.tls_key_path)


def _metrics_app(metrics: CollectorRegistry) -> web.Application:
    async def show(request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app = web.Application()
    app.router.add_get("/metrics", show)
    return app
