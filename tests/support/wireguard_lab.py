"""Plain WireGuard devices, a gateway and a management network behind it, each in a network namespace.

    device, device … ---- bridge 10.97.n.0/24 ---- gateway ---- management: 10.60.10.5, 10.60.20.5
                             |
                          server (fake)

The management host has no route back to the devices' pool 10.99.0.0/24. Sockets are made inside a
namespace by a thread that enters it, so a probe costs no process.
"""

import base64
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from nacl.bindings import crypto_scalarmult_base

from coordinator.gateway.state import new_private_key
from coordinator.wireguard.wire import Rule, WishedInterface, WishedPeer
from tests.support.child_process import ChildProcess
from tests.support.fake_gateway_server import TOKEN, FakeGatewayServer
from tests.support.prerequisites import missing_here, require
from tests.support.underlay import Bridge, Host
from tests.support.waiting import eventually

T = TypeVar("T")

MANAGED, OTHER = "10.60.10.5", "10.60.20.5"
ALLOWED_PORT, CLOSED_PORT = 8080, 9090
SSH_ONLY = (Rule(networks=("10.60.10.0/24",), proto="udp", ports=((ALLOWED_PORT, ALLOWED_PORT),)),)
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing_for_wireguard() -> list[str]:
    """Reasons why gateways and devices in namespaces cannot run here."""
    return missing_here(("ip", "nft", "wg", "wireguard-go", "setpriv", "mount"))


def key_pair() -> tuple[str, str]:
    """(private, public), as `wg` prints them."""
    private = new_private_key()
    public = crypto_scalarmult_base(base64.b64decode(private))
    return private, base64.b64encode(public).decode()


def in_namespace(name: str, work: Callable[[], T]) -> T:
    """Run something short in a thread that entered a network namespace; sockets it makes stay there."""
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        handle = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            if _libc.setns(handle, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"namespace {name} cannot be entered")
            result.append(work())
        except OSError as error:
            errors.append(error)
        finally:
            os.close(handle)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


class Flow:
    """UDP from one port to another, in a namespace."""

    def __init__(self, namespace: str, target: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        self._socket = in_namespace(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
        self._target = (target, port)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def echo(self, *, within: float = 0.3) -> bool:
        """Send one packet; whether it comes back. Late ones of earlier calls do not count."""
        self._number += 1
        packet = str(self._number).encode()
        self._socket.settimeout(within)
        try:
            self._socket.sendto(packet, self._target)
            while (answer := self._socket.recv(100)) != packet:
                assert answer.isdigit()
        except OSError:
            return False
        return True


@dataclass(kw_only=True)
class Device:
    """A machine with only WireGuard."""

    lab: "WireguardLab"
    host: Host
    namespace: str
    interface: str
    address: str
    public_key: str

    def run(self, *command: str, stdin: str = "") -> str:
        """A command in its namespace."""
        return run("ip", "netns", "exec", self.namespace, *command, stdin=stdin)

    def use_key(self, private: str) -> None:
        """Take another key."""
        self.run("wg", "set", self.interface, "private-key", "/dev/stdin", stdin=private)

    def point_to(self, gateway_key: str, port: int, *, preshared: str = "") -> None:
        """Forget every gateway and session, and use this gateway: the next packet begins a handshake."""
        old = self.run("wg", "show", self.interface, "peers").split()
        for key in old:
            self.run("wg", "set", self.interface, "peer", key, "remove")
        psk = f"PresharedKey = {preshared}\n" if preshared else ""
        self.run(
            "wg",
            "addconf",
            self.interface,
            "/dev/stdin",
            stdin=f"[Peer]\nPublicKey = {gateway_key}\n{psk}"
            "AllowedIPs = 10.60.0.0/16, 10.99.0.0/24, fd60::/64\n"
            f"Endpoint = {self.lab.gateway.address}:{port}\n",
        )

    def flow(self, target: str = MANAGED, port: int = ALLOWED_PORT) -> "Flow":
        """One UDP socket, whose packets are one connection to the gateway."""
        return Flow(self.namespace, target, port)

    def reaches(self, target: str = MANAGED, port: int = ALLOWED_PORT, *, within: float = 0.3) -> bool:
        """Whether a UDP echo comes back; sends one packet."""
        with self.flow(target, port) as flow:
            return flow.echo(within=within)

    def pings(self, target: str) -> bool:
        """Whether an ICMP echo comes back."""
        command = ("ip", "netns", "exec", self.namespace, "ping", "-c1", "-W1", "-n", target)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def connects(self, target: str = MANAGED, port: int = ALLOWED_PORT, *, within: float = 0.7) -> bool:
        """Whether a TCP connection comes about."""

        def ask() -> socket.socket:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

        with in_namespace(self.namespace, ask) as probe:
            probe.settimeout(within)
            return probe.connect_ex((target, port)) == 0


class Pinging:
    """A device whose user tries all the time, every 20 ms; notes when answers came, as Unix times."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stopping = threading.Event()
        self.answered: list[float] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with self._device.flow() as flow:
            while not self._stopping.is_set():
                if flow.echo(within=0.02):
                    self.answered.append(time.time())
                    time.sleep(0.02)


class WireguardLab:
    """Everything in one; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wglab-"))
        self._undo = ExitStack()
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.bridge = Bridge()
        self._undo.callback(self._forget_sockets)
        self._undo.callback(self.bridge.close)
        # The socket of wireguard-go has the interface's name, and one folder for all namespaces.
        self.name = f"wgl{self.bridge.number}"
        self.server = FakeGatewayServer(self.bridge.server_address())
        self._undo.callback(self.server.close)
        self.gateway = self._host("gw")
        self.gateway_namespace = f"{self.bridge.name}-gw"
        self.program = ChildProcess(name="gateway", log_path=self.folder / "gateway.log")
        self._undo.callback(self.program.kill)
        (self.folder / "token").write_text(TOKEN + "\n")
        self.state = self.folder / "state"
        self._devices = 0

    def __enter__(self) -> Self:
        try:
            self._management()
            self.server.start()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _forget_sockets(self) -> None:
        """Those of processes that were killed with their namespace."""
        for path in Path("/run/wireguard").glob(f"{self.name}*.sock"):
            path.unlink(missing_ok=True)

    def _host(self, name: str) -> Host:
        folder = self.folder / name
        folder.mkdir()
        return self.bridge.add_host(name, folder)

    def _management(self) -> None:
        """A host with two networks, echoing on two ports of each, reached only through the gateway."""
        self._host("mgmt")
        inside, gateway = f"{self.bridge.name}-mgmt", self.gateway_namespace
        run("ip", "-n", inside, "link", "delete", "eth0")
        run(
            "ip",
            "-n",
            gateway,
            "link",
            "add",
            "lan0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            inside,
        )
        for namespace, link, last in ((gateway, "lan0", 1), (inside, "eth0", 5)):
            run("ip", "-n", namespace, "link", "set", link, "up")
            for network in ("10.60.10", "10.60.20"):
                run("ip", "-n", namespace, "address", "add", f"{network}.{last}/24", "dev", link)
        run("ip", "netns", "exec", gateway, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for address in (MANAGED, OTHER):
            for port in (ALLOWED_PORT, CLOSED_PORT):
                in_namespace(inside, partial(self.echo, address, port))

    def echo(self, address: str, port: int) -> None:
        """Answer UDP and accept TCP on an address, from the namespace of the calling thread."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((address, port))
        tcp = socket.create_server((address, port), family=family)
        self._undo.callback(tcp.close)
        stopping = threading.Event()
        udp.settimeout(0.2)

        def serve() -> None:
            with udp:
                while not stopping.is_set():
                    try:
                        data, sender = udp.recvfrom(2000)
                        udp.sendto(data, sender)
                    except TimeoutError:
                        continue
                    except OSError:
                        # The way back to a device is gone; the next one may have one.
                        time.sleep(0.01)

        threading.Thread(target=serve, daemon=True).start()
        self._undo.callback(stopping.set)

    def in_management(self, *command: str) -> str:
        """A command on the host behind the gateway."""
        return run("ip", "netns", "exec", f"{self.bridge.name}-mgmt", *command)

    # ---- the gateway ----------------------------------------------------------------------------------

    def interface(self, number: int = 0) -> WishedInterface:
        """The wished interface; another number has another name, port and key."""
        return WishedInterface(
            name=f"{self.name}g{number}",
            key_id=f"k{number}",
            listen_port=51820 + number,
            addresses=("10.99.0.1/24",),
        )

    def command(self, *options: str) -> list[str]:
        """The program's command line, without the namespace."""
        return [
            *(sys.executable, "-m", "coordinator", "gateway", "--server", self.server.url),
            *("--token-file", str(self.folder / "token"), "--state", str(self.state), *options),
        ]

    def start(self) -> None:
        """Start the program on the gateway."""
        self.program.start([*self.gateway.prefix, *self.command()], env=os.environ)

    def on_gateway(self, *command: str, stdin: str = "") -> str:
        """A command in the gateway's namespace."""
        return run("ip", "netns", "exec", self.gateway_namespace, *command, stdin=stdin)

    def rules(self) -> str:
        """The gateway's table as nft lists it; empty when there is none."""
        try:
            return self.on_gateway("nft", "list", "table", "inet", "coordinator_gateway")
        except AssertionError:
            return ""

    def reboot(self) -> None:
        """What a reboot of the gateway leaves: its disk. The program is killed and not started again."""
        self.program.kill()
        for number in range(2):
            name = f"{self.name}g{number}"
            if name in self.on_gateway("ip", "-brief", "link", "show"):
                self.on_gateway("ip", "link", "delete", "dev", name)
        self.on_gateway("nft", "flush", "ruleset")

    def gateway_key(self, number: int = 0) -> str:
        """The public key of an interface, as reported."""

        def reported() -> str | None:
            keys = self.server.reports[-1].public_keys if self.server.reports else {}
            return keys.get(f"k{number}")

        return eventually(reported, f"the gateway's key k{number}")

    def peers(self, number: int = 0) -> dict[str, str]:
        """Allowed addresses by key, on an interface of the gateway; empty without the interface."""
        try:
            listed = self.on_gateway("wg", "show", f"{self.name}g{number}", "allowed-ips")
        except AssertionError:
            return {}
        return dict(line.split("\t", 1) for line in listed.splitlines())

    def settled(self, version: str) -> None:
        """Wait until the gateway reported that a wish is in force."""
        eventually(
            lambda: bool(self.server.reports) and self.server.reports[-1].version == version,
            f"wish {version} in force on the gateway",
        )

    # ---- devices --------------------------------------------------------------------------------------

    def device(self, address: str | None = None) -> Device:
        """One more device, with its interface up and no gateway yet."""
        self._devices += 1
        name = f"d{self._devices}"
        host, interface = self._host(name), f"{self.name}{name}"
        namespace = f"{self.bridge.name}-{name}"
        private, public = key_pair()
        device = Device(
            lab=self,
            host=host,
            namespace=namespace,
            interface=interface,
            address=address or f"10.99.0.{10 + self._devices}",
            public_key=public,
        )
        device.run("wireguard-go", interface)
        device.use_key(private)
        for command in (
            f"address add {device.address}/32 dev {interface}",
            f"link set {interface} mtu 1420 up",
            f"route add 10.60.0.0/16 dev {interface}",
            f"route add 10.99.0.0/24 dev {interface}",
        ):
            device.run("ip", *command.split())
        return device

    def wished(
        self,
        device: Device,
        *,
        key: str | None = None,
        opens: float = -60.0,
        closes: float | None = None,
        rules: tuple[Rule, ...] = SSH_ONLY,
        inbound: tuple[Rule, ...] = (),
        preshared: str = "",
    ) -> WishedPeer:
        """A device in a wish; times are seconds from now."""
        now = datetime.now(UTC)
        return WishedPeer(
            public_key=key or device.public_key,
            device=device.interface,
            name=device.interface,
            allowed_ips=(f"{device.address}/32",),
            not_before=now + timedelta(seconds=opens),
            not_after=None if closes is None else now + timedelta(seconds=closes),
            preshared_key=preshared,
            rules=rules,
            inbound=inbound,
        )


def run(*command: str, stdin: str = "") -> str:
    """A command that has to work."""
    # Nothing is captured from a program that stays in the background with our pipe open.
    background = "wireguard-go" in command
    done = subprocess.run(
        command,
        input=stdin,
        text=True,
        timeout=30,
        stdout=subprocess.DEVNULL if background else subprocess.PIPE,
        stderr=subprocess.DEVNULL if background else subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, f"`{' '.join(command[:8])}` failed: {(done.stderr or '').strip()}"
    return done.stdout or ""


@contextmanager
def opened() -> Iterator[WireguardLab]:
    """A lab with the program running and one interface wished; its log is shown at the end."""
    require(missing_for_wireguard(), "tests of WireGuard gateways")
    with WireguardLab() as lab:
        lab.server.wish(interfaces=(lab.interface(),))
        lab.start()
        lab.gateway_key()
        yield lab
        print(lab.program.log_tail())
