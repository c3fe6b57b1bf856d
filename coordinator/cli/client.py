"""HTTP over the server's unix socket, or to a server elsewhere with an API key; standard library only."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from coordinator.cli.output import CONTEXT, CommandError

_RETRY_FIRST, _RETRY_MOST = 0.05, 1.0
REMOTE_SECONDS = 30.0
"""Patience with a server elsewhere, where no configuration says otherwise."""
_WITHOUT_FILE = {
    "HEADSCALE_SERVER_URL": "http://localhost",
    "HEADSCALE_DNS_MAGIC_DNS": "false",
    "HEADSCALE_DNS_OVERRIDE_LOCAL_DNS": "false",
}
"""The defaults lack only what a server needs and the command line does not."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class _Remote:
    """A server elsewhere, reached with an API key."""

    address: str
    api_key: str
    insecure: bool = False
    what: str = "API key (cli.api_key)"
    """The credential, in words."""

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """A bare host name means https."""
        parts = urlsplit(self.address if "://" in self.address else f"https://{self.address}")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        host, port = parts.hostname or "", parts.port or 443
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def __str__(self) -> str:
        return self.address


def call(
    method: str,
    path: str,
    body: Any = None,
    query: dict[str, str] | None = None,
    patience: float | None = None,
) -> Any:
    """One request to the running server.

    Args:
        method: GET, POST, PUT or DELETE.
        path: With its leading slash.
        body: Sent as JSON.
        query: Appended to the path.
        patience: Seconds an answer may take at least, for what is slow by its nature.

    Raises:
        CommandError: no server, or it refused; with its own words.
    """
    where, timeout = _where()
    answer_within = max(timeout, patience or 0.0)
    if query:
        path = f"{path}?{urlencode(query)}"
    payload = None if body is None else json.dumps(body)
    deadline = time.monotonic() + timeout
    wait = _RETRY_FIRST
    while True:
        try:
            return _once(where, answer_within, method, path, payload)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as error:
            # The last one: the socket's queue is full, nothing was sent yet.
            if time.monotonic() + wait > deadline:
                raise CommandError(
                    f"no server is listening on {where} ({error.strerror}); "
                    "start it with `coordinator serve`, or name its configuration with -c"
                ) from error
            time.sleep(wait)
            wait = min(wait * 2, _RETRY_MOST)
        except PermissionError as error:
            raise CommandError(f"no permission for {where}; run as the server's user") from error
        except TimeoutError as error:
            raise CommandError(f"the server on {where} did not answer within {answer_within:g}s") from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"the server on {where}: {error}") from error


def _once(where: Path | _Remote, timeout: float, method: str, path: str, payload: str | None) -> Any:
    connection = _UnixConnection(where, timeout) if isinstance(where, Path) else where.connection(timeout)
    try:
        headers = {"Content-Type": "application/json"} if payload is not None else {}
        if CONTEXT.reason:
            headers["X-Audit-Reason"] = quote(CONTEXT.reason)
        if isinstance(where, _Remote):
            headers["Authorization"] = f"Bearer {where.api_key}"
        connection.request(method, path, payload, headers)
        response = connection.getresponse()
        raw = response.read()
    finally:
        connection.close()
    try:
        document = json.loads(raw) if raw else {}
    except ValueError:
        if response.status == 401 and isinstance(where, _Remote):
            text = f"{where} does not take this {where.what}: it is wrong, or has expired"
            raise CommandError(text) from None
        raise CommandError(f"the server answered {response.status} with something that is not JSON") from None
    if response.status >= 400:
        known = document if isinstance(document, dict) else {}
        raise CommandError(known.get("detail") or known.get("message") or f"status {response.status}")
    return document


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def find_user(text: str, by: Sequence[str] = ("id", "name", "email")) -> dict[str, Any]:
    """A user by the first of these attributes that fits.

    Raises:
        CommandError: there is none; or the text is empty, as an unset variable of a script is, which would
            fit every user without an e-mail.
    """
    if not text:
        raise CommandError("the user is missing: its id, name or e-mail is empty")
    users: list[dict[str, Any]] = call("GET", "/api/v1/user")["users"]
    for attribute in by:
        for user in users:
            if user[attribute] == text:
                return user
    raise CommandError(f"user `{text}` does not exist")


def _where() -> tuple[Path | _Remote, float]:
    if CONTEXT.remote is not None:
        address, token = CONTEXT.remote
        return _Remote(address, token, what="identity token"), REMOTE_SECONDS
    from coordinator.settings.load import SettingsError, find_config, load_settings

    path = find_config(CONTEXT.config, os.environ)
    env = dict(os.environ) if path is not None else _WITHOUT_FILE | dict(os.environ)
    try:
        settings, _ = load_settings(path, env)
    except SettingsError as error:
        raise CommandError("the configuration is wrong:\n  " + "\n  ".join(error.problems)) from error
    if settings.cli_address:
        if not settings.cli_api_key:
            raise CommandError("cli.address names a server elsewhere, and cli.api_key is missing")
        remote = _Remote(settings.cli_address, settings.cli_api_key.reveal(), settings.cli_insecure)
        return remote, settings.cli_timeout.total_seconds()
    return settings.unix_socket, settings.cli_timeout.total_seconds()
