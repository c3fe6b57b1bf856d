"""The Noise key on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.noise_key import load_noise_key, load_or_create_noise_key
from coordinator.tailnet.errors import InvalidError


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    key = load_or_create_noise_key(path)
    assert load_or_create_noise_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_white_space_around_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("privkey:" + "40" * 32 + "\n\n")
    assert load_noise_key(path) == b"\x40" * 32


@pytest.mark.parametrize("text", ["", "privkey:12", "mkey:" + "00" * 32, "privkey:" + "zz" * 32])
def test_a_broken_file_is_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(InvalidError, match=r"noise\.private_key_path"):
        load_or_create_noise_key(path)
    assert path.read_text() == text
