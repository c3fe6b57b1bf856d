"""`make demo`: a throw-away server and two stock clients on this machine, without root.

Runs the same lab as the real-client tests, in userspace mode. Everything it starts and writes is gone when it
ends; only the clients' programs stay in the cache.
"""

import sys
import time

from tests.support import clients
from tests.support.lab import Lab
from tests.support.waiting import eventually

_ASSUME_NETWORK = {"TS_ASSUME_NETWORK_UP_FOR_TEST": "1"}


def show(lab: Lab) -> None:
    """Join two clients and let them find each other."""
    start = time.monotonic()
    server = lab.server()
    print(f"server: {server.url} (up after {time.monotonic() - start:.1f} s)")
    server.create_user("ada")
    key = server.create_key("ada", reusable=True)["key"]
    print("$ coordinator users create ada")
    print("$ coordinator preauthkeys create --user ada --reusable")

    joined = []
    for name in ("laptop", "desktop"):
        client = lab.client(name, env=_ASSUME_NETWORK)
        began = time.monotonic()
        client.up(key)
        print(f"$ tailscale up --login-server={server.url} --auth-key=… --hostname={name}")
        print(
            f"  {name} is {client.state()} after {time.monotonic() - began:.2f} s, tailscale {client.version}"
        )
        joined.append(client)

    laptop, desktop = joined
    laptop.wait_peers("desktop")
    laptop.wait_online("desktop")
    print("\nlaptop$ tailscale status")
    print(_indented(laptop.tailscale("status")))
    print("laptop$ tailscale ping desktop")
    pong = laptop.ping("desktop", until_direct=False)
    print(f"  answered by {pong.address} via {pong.via}")

    print("\nthe policy changes to: nobody reaches anybody")
    changed = time.monotonic()
    server.write_policy({"acls": []})
    eventually(lambda: not laptop.peers() and not desktop.peers(), "the peers to go", within=10, every=0.01)
    print(f"  {(time.monotonic() - changed) * 1000:.0f} ms later neither client knows the other exists:")
    print("\nlaptop$ tailscale status")
    print(_indented(laptop.tailscale("status")))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()) + "\n"


def main() -> int:
    """Run the demo; 0 when everything was as it should be."""
    version = clients.NEW
    if clients.cached(version) is None:
        print(f"building tailscale {version} once (some minutes); kept in {clients.cache_dir()}")
    try:
        clients.ensure(version)
    except clients.ClientBuildError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    with Lab.userspace() as lab:
        try:
            show(lab)
        except (AssertionError, OSError, KeyError) as problem:
            for title, tail in lab.logs(20):
                print(f"---- {title}\n{tail}", file=sys.stderr)
            print(f"Error: {problem}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; cleaning up", file=sys.stderr)
            return 130
    print("done; server, clients and their files are gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
