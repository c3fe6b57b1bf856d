"""keys: text forms, clamping, and the key file."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from derp import keys
from derp.keys import KeyFormatError


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32))
def test_public_keys_are_those_of_another_implementation(secret: bytes) -> None:
    other = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    assert keys.public_key_of(secret) == keys.public_key_of(keys.clamp(secret)) == other


@given(st.binary(min_size=32, max_size=32))
def test_clamping(secret: bytes) -> None:
    clamped = keys.clamp(secret)
    assert clamped[0] & 7 == 0
    assert clamped[31] & 0xC0 == 0x40
    assert clamped[1:31] == secret[1:31]
    assert keys.clamp(clamped) == clamped


@given(st.binary(min_size=32, max_size=32))
def test_node_key_text_round_trip(node_key: bytes) -> None:
    text = keys.format_node_key(node_key)
    assert text == "nodekey:" + node_key.hex()
    assert keys.parse_node_key(text) == node_key
    assert keys.parse_node_key("nodekey:" + node_key.hex().upper()) == node_key


@given(st.one_of(st.text(max_size=80), st.text(max_size=70).map(lambda text: "nodekey:" + text)))
def test_node_key_text_is_a_key_or_refused(text: str) -> None:
    try:
        assert len(keys.parse_node_key(text)) == 32
    except KeyFormatError as error:
        assert len(text) < 12 or text not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nodekey:",
        "nodekey:" + "0" * 63,
        "nodekey:" + "0" * 65,
        "nodekey:" + " " * 64,
        "nodekey:" + "00 " * 21 + "0",
        "mkey:" + "0" * 64,
        "0" * 64,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(KeyFormatError):
        keys.parse_node_key(text)


def test_short_form() -> None:
    assert keys.short_form(bytes(32)) == "[AAAAA]"


def test_wrong_length_is_not_a_private_key() -> None:
    with pytest.raises(ValueError, match="got 31"):
        keys.clamp(bytes(31))


def test_key_file_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "var" / "relay.key"
    made = keys.load_or_create_private_key(path)
    assert keys.load_or_create_private_key(path) == made
    assert path.read_text() == f"privkey:{made.hex()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["relay.key"]


def test_processes_that_start_at_once_share_a_key(tmp_path: Path) -> None:
    path = tmp_path / "relay.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: keys.load_or_create_private_key(path), range(8)))
    assert len(set(made)) == 1


@pytest.mark.parametrize("content", [b"", b"privkey:00", b"nodekey:" + b"0" * 64, b"\xff\xfe"])
def test_other_files_are_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.key"
    path.write_bytes(content)
    with pytest.raises(KeyFormatError, match=r"relay\.key"):
        keys.load_or_create_private_key(path)
    assert path.read_bytes() == content
