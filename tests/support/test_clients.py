"""Finding and building the stock clients, with a pretended `go`."""

import stat
from pathlib import Path

import pytest

from tests.support import clients

FAKE_GO = """#!/bin/sh
echo "$@" >> "{log}"
[ -n "{broken}" ] && {{ echo "no such version" >&2; exit 1; }}
for name in tailscaled tailscale; do
  echo '#!/bin/sh' > "$GOBIN/$name"
  chmod +x "$GOBIN/$name"
done
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the file that a fake `go` writes its arguments to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "go.log"


def install_fake_go(log: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool = False) -> None:
    program = log.parent / "go"
    program.write_text(FAKE_GO.format(log=log, broken="yes" if broken else ""))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{log.parent}:/usr/bin:/bin")


def test_builds_once_and_then_uses_the_cache(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_go(log, monkeypatch)
    assert clients.cached("1.2.3") is None
    first = clients.ensure("1.2.3")
    assert clients.ensure("1.2.3") == first
    assert log.read_text().splitlines() == [
        "install tailscale.com/cmd/tailscaled@v1.2.3 tailscale.com/cmd/tailscale@v1.2.3"
    ]
    assert first.tailscaled == clients.cache_dir() / "1.2.3" / "tailscaled"
    assert first.release == (1, 2, 3)


def test_a_half_filled_folder_is_built_again(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_go(log, monkeypatch)
    folder = clients.cache_dir() / "1.2.3"
    folder.mkdir(parents=True)
    (folder / "tailscaled").write_text("")
    assert clients.ensure("1.2.3").tailscale.exists()


def test_a_failed_build_says_why_and_leaves_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_go(log, monkeypatch, broken=True)
    with pytest.raises(clients.ClientBuildError, match="no such version"):
        clients.ensure("1.2.3")
    assert [path.name for path in clients.cache_dir().iterdir()] == ["1.2.3.lock"]


def test_without_go_it_says_what_is_missing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "go_program", lambda: None)
    with pytest.raises(clients.ClientBuildError, match=r"Go 1\.21 or newer"):
        clients.ensure("1.2.3")
