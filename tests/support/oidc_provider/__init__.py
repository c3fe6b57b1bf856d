"""A real identity provider for tests: npm's `oidc-provider` with a small server of our own."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.child_process import ChildProcess
from tests.support.waiting import eventually

_HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json", "server.js")
CLIENT_ID = "coordinator"
CLIENT_SECRET = "only-for-tests"


def missing_for_provider() -> list[str]:
    """Reasons why it cannot run here; empty when it can."""
    return [f"no `{program}` command" for program in ("node", "npm") if shutil.which(program) is None]


def installed() -> Path:
    """The folder with the server and what it needs; installed once for each version of our files."""
    digest = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in _FILES)).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coordinator" / "oidc-provider"
    base.mkdir(parents=True, exist_ok=True)
    folder = base / digest
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            scratch = base / f"{digest}.new"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            for name in _FILES:
                shutil.copy(_HERE / name, scratch)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise AssertionError(f"npm ci failed:\n{done.stdout}{done.stderr}")
            scratch.rename(folder)
    return folder


class IdentityProvider:
    """One provider process with its accounts in a file."""

    def __init__(self, folder: Path, address: str, port: int, server_url: str) -> None:
        """Write its settings.

        Args:
            folder: exists; its files go here.
            address: IP address to listen on, and the host of the issuer.
            port: where.
            server_url: of the server whose people log in here.
        """
        self.issuer = f"http://{address}:{port}"
        self._accounts_file = folder / "accounts.json"
        self._settings_file = folder / "provider.json"
        self._process = ChildProcess(name="oidc-provider", log_path=folder / "provider.log")
        self.accounts: dict[str, dict[str, Any]] = {}
        self._write_accounts()
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [f"{server_url}/oidc/callback"],
            "post_logout_redirect_uris": [f"{server_url}/oidc/signed-out"],
            "grant_types": ["authorization_code", "refresh_token"],
        }
        settings = {
            "issuer": self.issuer,
            "host": address,
            "port": port,
            "clients": [client],
            "accounts_file": str(self._accounts_file),
        }
        self._settings_file.write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        server = installed() / "server.js"
        self._process.start(["node", str(server), str(self._settings_file)], env=os.environ)
        eventually(self._answers, f"the provider to answer:\n{self.log_tail()}", within=20)

    def stop(self) -> None:
        """End it."""
        self._process.stop(timeout=5)

    def log_tail(self) -> str:
        """The last lines it printed."""
        return self._process.log_tail(40) if self._process.log_path.exists() else ""

    def set_account(self, subject: str, **claims: Any) -> None:
        """Add somebody, or change what is said of them."""
        self.accounts[subject] = claims
        self._write_accounts()

    def remove_account(self, subject: str) -> None:
        """Somebody left."""
        del self.accounts[subject]
        self._write_accounts()

    def configuration(self, **more: Any) -> Mapping[str, Any]:
        """The `oidc` section of a server whose people log in here."""
        section = {"issuer": self.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return section | more

    def _write_accounts(self) -> None:
        scratch = self._accounts_file.with_suffix(".new")
        scratch.write_text(json.dumps(self.accounts))
        scratch.replace(self._accounts_file)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.issuer}/.well-known/openid-configuration", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
