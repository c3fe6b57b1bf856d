"""The key of identity tokens on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from coordinator.id_token_key import load_or_create_id_token_key
from coordinator.tailnet.errors import InvalidError


def test_it_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key.pem"
    made = load_or_create_id_token_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_id_token_key(path).thumbprint() == made.thumbprint()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        ECKey.generate_key("P-384").as_pem(private=True),
        ECKey.generate_key("P-256").as_pem(private=False),
        RSAKey.generate_key(2048).as_pem(private=True),
    ],
    ids=["empty", "nonsense", "other curve", "public", "rsa"],
)
def test_another_key_is_refused_by_its_place(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(InvalidError, match=r"id_tokens\.private_key_path: .*key\.pem"):
        load_or_create_id_token_key(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidError, match=r"id_tokens\.private_key_path"):
        load_or_create_id_token_key(tmp_path / "file" / "key.pem")
