"""Small network programs that run beside a client, inside its namespace.

Run as a script with one of:

- `serve ADDRESS PORT`: sends back what it receives until it is ended; prints `ready` once it listens;
- `echo ADDRESS PORT BYTES SECONDS`: sends that many bytes, expects them back, prints their SHA-256;
- `hold ADDRESS PORT SECONDS`: keeps one connection in use, prints `connected` when it is up, and ends with an
  error as soon as nothing has come back for that long;
- `resolve SERVER NAME TYPE`: one DNS question over UDP (TYPE 1 is A, 28 is AAAA); prints one address a line,
  or `rcode N`.
"""

import hashlib
import ipaddress
import os
import socket
import struct
import sys
import threading
import time
from typing import NoReturn

_CHUNK = 65536
_DNS_TIMEOUT_S = 5.0
_QUERY_ID = 0x4321


def serve(address: str, port: int) -> None:
    """Echo for ever."""
    with socket.create_server((address, port)) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_echo_back, args=(connection,), daemon=True).start()


def _echo_back(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(_CHUNK):
            connection.sendall(data)


def echo(address: str, port: int, size: int, timeout: float) -> str:
    """Send `size` random bytes and take them back; `timeout` is for connecting and for each read, in seconds.

    Returns:
        Their SHA-256.
    Raises:
        OSError: no connection, or it broke.
        ValueError: other bytes came back.
    """
    payload = os.urandom(size)
    with socket.create_connection((address, port), timeout=timeout) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        received = bytearray()
        while len(received) < size:
            data = connection.recv(_CHUNK)
            if not data:
                raise ConnectionResetError(f"closed after {len(received)} of {size} bytes")
            received += data
        sender.join()
    if received != payload:
        raise ValueError("other bytes came back")
    return hashlib.sha256(payload).hexdigest()


def hold(address: str, port: int, timeout: float) -> NoReturn:
    """Send a byte ten times a second and expect each back, until one does not come.

    Raises:
        OSError: no connection, or it broke.
    """
    with socket.create_connection((address, port), timeout=timeout) as connection:
        print("connected", flush=True)
        while True:
            connection.sendall(b".")
            if not connection.recv(1):
                raise ConnectionResetError("closed by the other side")
            time.sleep(0.1)


def resolve(server: str, name: str, record_type: int) -> list[str]:
    """Ask one DNS question.

    Returns:
        The addresses of the answer, or one line `rcode N` when the server refused.
    """
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
    query = struct.pack(">6H", _QUERY_ID, 0x0100, 1, 0, 0, 0) + question + struct.pack(">2H", record_type, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_DNS_TIMEOUT_S)
        sock.connect((server, 53))
        sock.send(query)
        reply = sock.recv(4096)
    _, flags, _, answers, _, _ = struct.unpack_from(">6H", reply)
    if flags & 15:
        return [f"rcode {flags & 15}"]
    offset, found = len(query), []
    for _ in range(answers):
        offset = _skip_name(reply, offset)
        kind, _, _, length = struct.unpack_from(">HHIH", reply, offset)
        offset += 10
        if kind == record_type:
            found.append(str(ipaddress.ip_address(reply[offset : offset + length])))
        offset += length
    return found


def _skip_name(message: bytes, offset: int) -> int:
    while True:
        length = message[offset]
        if length >= 0xC0:
            return offset + 2
        offset += 1 + length
        if length == 0:
            return offset


def main(arguments: list[str]) -> int:
    """Run one of the four; errors become exit code 1 and a line."""
    try:
        match arguments:
            case ["serve", address, port]:
                serve(address, int(port))
            case ["echo", address, port, size, seconds]:
                print(echo(address, int(port), int(size), float(seconds)))
            case ["hold", address, port, seconds]:
                hold(address, int(port), float(seconds))
            case ["resolve", server, name, record_type]:
                print("\n".join(resolve(server, name, int(record_type))))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (OSError, ValueError) as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
