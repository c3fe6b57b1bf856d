"""What is on disk, and who may read it."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.gateway.clock import Anchor
from coordinator.gateway.state import State, StateError, new_private_key
from coordinator.wireguard.wire import Noticed
from tests.coordinator.gateway.builders import NOW, key, peer, wish
from tests.support.prerequisites import require


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def test_everything_comes_back(state: State) -> None:
    anchor = Anchor(server=NOW, wall=NOW - timedelta(hours=1), boot_seconds=7.5, boot_id="a")
    events = (Noticed(kind="clock", at=NOW, detail="late"),)
    assert (state.wish(), state.anchor(), state.events()) == (None, None, ())
    state.keep_wish(wish(peer(2)))
    state.keep_anchor(anchor)
    state.keep_events(events)
    state.close()
    again = State(state.folder)
    assert (again.wish(), again.anchor(), again.events()) == (wish(peer(2)), anchor, events)


def test_nobody_else_may_read(state: State) -> None:
    state.keep_wish(wish())
    state.key("k0")
    for path in (state.folder, *state.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_damaged_file_is_as_none(state: State) -> None:
    for name in ("wish.json", "clock.json", "events.json"):
        for content in (b"", b"{", b"[1]", b"\xff\xfe"):
            (state.folder / name).write_bytes(content)
            assert (state.wish(), state.anchor(), state.events()) == (None, None, ())


def test_one_program_at_a_time(state: State) -> None:
    with pytest.raises(StateError, match="another gateway program"):
        State(state.folder)
    state.close()
    State(state.folder).close()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        State(tmp_path / "file" / "state")


def test_a_key_is_made_once(state: State) -> None:
    first = state.key("k0")
    assert state.key("k0") == first
    assert state.key("k1") != first
    assert Path(first.path).read_text().strip() not in repr(first)


def test_a_file_that_holds_no_key_is_not_replaced(state: State) -> None:
    (state.folder / "keys" / "k0").write_text("ruined")
    with pytest.raises(StateError, match="holds no private key"):
        state.key("k0")
    assert (state.folder / "keys" / "k0").read_text() == "ruined"


def test_keys_nobody_needs_go(state: State) -> None:
    state.key("k0")
    kept = state.key("k1")
    assert state.keep_only_keys({"k1", "k2"}) == ["k0"]
    assert state.key("k1") == kept


def test_a_failed_write_leaves_the_old_file(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.keep_wish(wish(version="1"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coordinator.gateway.state.os.fsync", full)
    with pytest.raises(StateError, match="No space left"):
        state.keep_wish(wish(version="2"))
    assert state.wish() == wish(version="1")


def test_keys_are_as_wg_makes_them(state: State) -> None:
    private = new_private_key()
    assert private != new_private_key()
    assert key(0) != private
    made = state.key("k0")
    require([] if shutil.which("wg") else ["no `wg` command"], "a comparison with its keys")
    text = Path(made.path).read_text()
    done = subprocess.run(["wg", "pubkey"], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made.public
