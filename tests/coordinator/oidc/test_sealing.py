"""Refresh tokens at rest."""

from __future__ import annotations

import secrets

import pytest

from coordinator.oidc.sealing import TokenSealer
from coordinator.tailnet.errors import InvalidError

KEY = bytes(range(32))


def test_a_sealed_text_opens_for_its_owner_alone() -> None:
    sealer = TokenSealer(KEY, secrets.token_bytes)
    sealed = sealer.seal("refresh-me", "https://i/1")
    assert "refresh-me" not in sealed
    assert sealer.seal("refresh-me", "https://i/1") != sealed
    assert TokenSealer(KEY, secrets.token_bytes).open(sealed, "https://i/1") == "refresh-me"
    for other, owner in (
        (sealer, "https://i/2"),
        (TokenSealer(bytes(32), secrets.token_bytes), "https://i/1"),
    ):
        with pytest.raises(InvalidError):
            other.open(sealed, owner)


@pytest.mark.parametrize("damaged", ["", "AAAA", "not base64!", "é"])
def test_damage_is_noticed(damaged: str) -> None:
    with pytest.raises(InvalidError):
        TokenSealer(KEY, secrets.token_bytes).open(damaged, "https://i/1")
