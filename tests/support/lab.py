"""A whole small world for one test module: a network, servers and stock clients, removed as one.

`Lab.bridged()` needs root and /dev/net/tun; `Lab.userspace()` needs nothing. Everything else is the same for
both. A lab is a context manager; leaving it ends every process and removes every interface, whatever failed.
"""

import shutil
import socket
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import clients
from tests.support.ports import free_port
from tests.support.server_process import Ports, Server
from tests.support.stock_client import StockClient
from tests.support.underlay import Bridge, Host, Loopback, Underlay


class Lab:
    """Owns a network and whatever runs on it."""

    def __init__(self, underlay: Underlay, *, private_addresses: bool) -> None:
        self._underlay = underlay
        # Loopback servers share one address and so need ports of their own.
        self._private_addresses = private_addresses
        # A short path: a unix socket's may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="clab-"))
        self.servers: list[Server] = []
        self.clients: list[StockClient] = []

    @classmethod
    def bridged(cls) -> Self:
        """Clients in network namespaces with a real TUN device each; needs root."""
        return cls(Bridge(), private_addresses=True)

    @classmethod
    def userspace(cls) -> Self:
        """Clients in userspace mode on 127.0.0.1; needs no rights."""
        return cls(Loopback(), private_addresses=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def server(
        self,
        *,
        policy: Mapping[str, Any] | None = None,
        policy_mode: str = "file",
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        start: bool = True,
    ) -> Server:
        """One more server, started unless told otherwise. The arguments are those of `Server`."""
        folder = self.folder / f"server{len(self.servers)}"
        folder.mkdir()
        address = self._underlay.server_address()
        server = Server(
            folder=folder,
            address=address,
            ports=self._ports(address),
            policy=policy,
            policy_mode=policy_mode,
            overrides=overrides,
        )
        self.servers.append(server)
        if start:
            server.start()
        return server

    def client(
        self,
        name: str,
        *,
        version: str = clients.NEW,
        server: Server | None = None,
        login_server: str | None = None,
        env: Mapping[str, str] | None = None,
        in_memory: bool = False,
        start: bool = True,
    ) -> StockClient:
        """One more client, its daemon started unless told otherwise; it has not joined anything yet.

        Args:
            name: host name, unique in the lab; at most 15 characters of `[a-z0-9-]`.
            server: the one it will join; the lab's first if not given.
            login_server: the URL to join instead, of a server that is not the lab's.
        """
        binaries = clients.ensure(version)
        host = self.host(name)
        url = login_server or (server or self.servers[0]).url
        client = StockClient(host=host, binaries=binaries, login_server=url)
        self.clients.append(client)
        if start:
            client.start(env=env, in_memory=in_memory)
        return client

    @staticmethod
    def join(auth_key: str, *joining: StockClient) -> None:
        """`tailscale up` on all of them at once; raises what the first failing one raised."""
        with ThreadPoolExecutor(max_workers=max(len(joining), 1)) as pool:
            for done in [pool.submit(client.up, auth_key) for client in joining]:
                done.result()

    def host(self, name: str) -> Host:
        """A place on the network for something else than a client."""
        folder = self.folder / name
        folder.mkdir()
        return self._underlay.add_host(name, folder)

    def retire(self, client: StockClient) -> None:
        """End a client without a good-bye; its host stays until the lab closes."""
        client.kill()
        self.clients.remove(client)

    def logs(self, lines: int = 40) -> list[tuple[str, str]]:
        """Title and log tail of every process, for the report of a failure."""
        sections = [(f"server {server.url}", server.log_tail(lines)) for server in self.servers]
        sections += [
            (f"client {client.name} {client.version}", client.log_tail(lines)) for client in self.clients
        ]
        return sections

    def close(self) -> None:
        """End all processes and remove network and files. Safe to call twice."""
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            undo.callback(self._underlay.close)
            for server in self.servers:
                undo.callback(server.stop)
            for client in self.clients:
                undo.callback(client.kill)

    def _ports(self, address: str) -> Ports:
        if self._private_addresses:
            return Ports()
        return Ports(
            http=free_port(address),
            relay_tls=free_port(address),
            stun=free_port(address, socket.SOCK_DGRAM),
        )
