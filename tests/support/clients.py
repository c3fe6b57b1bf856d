"""The stock Tailscale clients: where their binaries are kept, and how they get there.

Called by the lab (`tests.support.lab`), the demo and, as `python -m tests.support.clients`, by the CI run,
which builds everything before the first test starts a clock. Nothing here starts a client.

The clients are built from source with `go install`, because that is the one way that needs no package
source of a vendor and gives any released version on any architecture. They are kept outside the tree, at
``$XDG_CACHE_HOME/coordinator/clients/<version>/`` (default ``~/.cache``), so that a fresh clone is quick.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NEW = "1.102.3"
OLD = "1.80.3"
VERSIONS = (NEW, OLD)

_PROGRAMS = ("tailscaled", "tailscale")
# A cold build of one version downloads some 300 modules and compiles for minutes on two cores.
_BUILD_TIMEOUT_S = 1500


class ClientBuildError(Exception):
    """The stock client could not be built; the text says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBinaries:
    """One released version of the client, ready to run."""

    version: str
    tailscaled: Path
    tailscale: Path

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers, to ask what its command line knows."""
        return tuple(int(part) for part in self.version.split("."))


def cache_dir() -> Path:
    """Folder with one sub-folder per client version."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "coordinator" / "clients"


def go_program() -> str | None:
    """Path of the `go` command, also where its own installer puts it and no PATH mentions it."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def cached(version: str) -> ClientBinaries | None:
    """The binaries of one version if they were built before, else None."""
    folder = cache_dir() / version
    if not all(os.access(folder / name, os.X_OK) for name in _PROGRAMS):
        return None
    return ClientBinaries(version=version, tailscaled=folder / "tailscaled", tailscale=folder / "tailscale")


def ensure(version: str) -> ClientBinaries:
    """The binaries of one version, built now if they are not cached.

    Safe to call from several processes at once: one builds, the others wait for it.

    Raises:
        ClientBuildError: no Go, or the build failed.
    """
    found = cached(version)
    if found is not None:
        return found
    cache_dir().mkdir(parents=True, exist_ok=True)
    with _locked(cache_dir() / f"{version}.lock"):
        found = cached(version)
        if found is None:
            _build(version)
            found = cached(version)
    if found is None:
        raise ClientBuildError(f"go reported success but left no programs in `{cache_dir() / version}`")
    return found


def _build(version: str) -> None:
    go = go_program()
    if go is None:
        raise ClientBuildError(
            f"Go 1.21 or newer is needed to build tailscale {version}; there is no `go` here"
        )
    with tempfile.TemporaryDirectory(prefix=f".{version}-", dir=cache_dir()) as scratch:
        target = Path(scratch) / "bin"
        target.mkdir()
        command = [go, "install", *(f"tailscale.com/cmd/{name}@v{version}" for name in _PROGRAMS)]
        # GOTOOLCHAIN=auto: each release names the compiler it wants, usually newer than the one installed.
        environment = {**os.environ, "GOBIN": str(target), "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0"}
        environment.setdefault("GOFLAGS", "-trimpath")
        try:
            done = subprocess.run(
                command,
                env=environment,
                cwd=scratch,
                capture_output=True,
                text=True,
                timeout=_BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as late:
            raise ClientBuildError(
                f"`go install` of tailscale {version} took over {_BUILD_TIMEOUT_S} s"
            ) from late
        if done.returncode != 0:
            raise ClientBuildError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
        # One rename, so that nobody ever sees a folder with one program or half of one.
        final = cache_dir() / version
        if final.exists():
            shutil.rmtree(final)
        target.rename(final)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build what is missing and say where it is."""
    for version in VERSIONS:
        try:
            binaries = ensure(version)
        except ClientBuildError as problem:
            print(f"Error: {problem}", file=sys.stderr)
            return 1
        print(f"tailscale {version}: {binaries.tailscale.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
