"""The command line of a relay that runs alone, checked once and turned into values.

`__main__` parses, `standalone` gets the result. A relay mounted in a larger server has no use for this.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from derp.keys import KeyFormatError, parse_node_key

__all__ = ["Endpoint", "Settings", "SettingsError", "parse"]


class SettingsError(Exception):
    """The command line cannot be used. `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to listen. An empty host means all addresses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A relay alone. Without `cert_path` it speaks plain HTTP, for use behind a TLS terminator that passes
    upgrades through."""

    listen: Endpoint
    key_file: Path
    cert_path: Path | None
    tls_key_path: Path | None
    self_signed: bool
    hostnames: tuple[str, ...]
    stun: Endpoint | None
    metrics: Endpoint | None
    verify_url: str | None
    allow_keys: frozenset[bytes]
    allow_all: bool
    bootstrap_names: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Settings:
    """Read the command line.

    Raises:
        SettingsError: values that cannot be used, all of them at once.
        SystemExit: `--help`, or an option that does not exist (argparse's own answer).
    """
    given = _parser().parse_args(arguments)
    problems: list[str] = []
    cert_path, tls_key_path = _certificate_paths(given, problems)
    admission = [bool(given.verify_url), bool(given.allow_key), given.allow_all]
    if sum(admission) != 1:
        problems.append("give one of --verify-url, --allow-key and --allow-all")
    if given.verify_url and urlsplit(given.verify_url).scheme not in ("http", "https"):
        problems.append("--verify-url: expected http:// or https://")
    listen = _endpoint("--listen", given.listen, problems)
    settings = Settings(
        listen=listen,
        key_file=given.key_file,
        cert_path=cert_path,
        tls_key_path=tls_key_path,
        self_signed=given.self_signed,
        hostnames=tuple(given.hostname) or ((listen.host,) if listen.host else ("localhost",)),
        stun=None if given.stun == "off" else _endpoint("--stun", given.stun, problems),
        metrics=_endpoint("--metrics", given.metrics, problems) if given.metrics else None,
        verify_url=given.verify_url,
        allow_keys=_node_keys(given.allow_key, problems),
        allow_all=given.allow_all,
        bootstrap_names=tuple(given.bootstrap_name),
    )
    if problems:
        raise SettingsError(problems)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m derp", description="A DERP relay.")
    add = parser.add_argument
    add("--listen", required=True, metavar="[HOST]:PORT", help="TCP address of the relay")
    add(
        "--key-file",
        required=True,
        type=Path,
        metavar="FILE",
        help="the relay's private key; made if missing",
    )
    add("--tls-cert", type=Path, metavar="FILE", help="certificate (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    add("--self-signed", action="store_true", help="make the certificate if missing, and print its pin")
    add(
        "--hostname", action="append", default=[], help="name or address in a self-signed certificate; repeat"
    )
    add("--stun", default=":3478", metavar="[HOST]:PORT|off", help="UDP address of STUN (default :3478)")
    add("--metrics", metavar="[HOST]:PORT", help="serve /metrics there")
    add("--verify-url", metavar="URL", help="ask this URL who may connect")
    add("--allow-key", action="append", default=[], metavar="NODEKEY", help="let this node connect; repeat")
    add("--allow-all", action="store_true", help="let everybody connect")
    add("--bootstrap-name", action="append", default=[], help="name /bootstrap-dns answers for; repeat")
    return parser


def _certificate_paths(given: argparse.Namespace, problems: list[str]) -> tuple[Path | None, Path | None]:
    cert_path: Path | None = given.tls_cert
    key_path: Path | None = given.tls_key
    if (cert_path is None) != (key_path is None):
        problems.append("--tls-cert and --tls-key belong together")
    elif cert_path is None and given.self_signed:
        beside: Path = given.key_file
        return beside.with_name(beside.name + ".crt"), beside.with_name(beside.name + ".crt.key")
    return cert_path, key_path


def _endpoint(option: str, text: str, problems: list[str]) -> Endpoint:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if not colon or not 0 <= number <= 65_535 or (":" in host and not bracketed):
        problems.append(f"{option}: expected [HOST]:PORT, got {text!r}")
        return Endpoint(host="", port=0)
    return Endpoint(host=host[1:-1] if bracketed else host, port=number)


def _node_keys(texts: Sequence[str], problems: list[str]) -> frozenset[bytes]:
    keys = set()
    for text in texts:
        try:
            keys.add(parse_node_key(text))
        except KeyFormatError as error:
            problems.append(f"--allow-key: {error}")
    return frozenset(keys)
