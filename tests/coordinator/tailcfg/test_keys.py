"""Text forms of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.tailcfg import keys
from coordinator.tailcfg.errors import WireError

HEX = "ab" * 32


def test_parsing_makes_lower_case() -> None:
    assert keys.parse_node_key("nodekey:" + HEX.upper()) == "nodekey:" + HEX


@pytest.mark.parametrize(
    "text", ["", "nodekey:", HEX, "mkey:" + HEX, "nodekey:" + HEX[:-2], "nodekey:" + "zz" * 32]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(WireError):
        keys.parse_node_key(text)


def test_blanks_inside_are_no_digits() -> None:
    with pytest.raises(WireError):
        keys.parse_machine_key("mkey:" + "ab " * 21 + "a")


def test_network_lock_keys_have_two_prefixes() -> None:
    assert keys.parse_network_lock_key("tlpub:" + HEX) == keys.parse_network_lock_key("nlpub:" + HEX)


def test_zero_key_is_recognised() -> None:
    assert keys.is_zero(keys.parse_node_key("nodekey:" + "0" * 64))
    assert not keys.is_zero(keys.parse_node_key("nodekey:" + HEX))


@given(st.binary(min_size=32, max_size=32))
def test_round_trip(raw: bytes) -> None:
    assert keys.raw_bytes(keys.parse_machine_key(keys.machine_key_from_bytes(raw))) == raw


@given(st.text(max_size=90))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        assert keys.raw_bytes(keys.parse_disco_key(text))
    except WireError:
        return
