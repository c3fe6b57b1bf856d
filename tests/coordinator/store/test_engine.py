"""Database URLs."""

from __future__ import annotations

import pytest

from coordinator.store.engine import postgres_url, sqlite_url
from coordinator.tailnet.errors import InvalidError


def test_a_password_may_hold_anything() -> None:
    url = postgres_url("db", 5432, "c", "u", "p@:/ss", "true")
    assert url.password == "p@:/ss"
    assert url.query["ssl"] == "require"


def test_a_directory_is_a_socket() -> None:
    assert postgres_url("/run/postgresql", 5432, "c", "u").query["host"] == "/run/postgresql"


def test_a_wrong_ssl_word_is_named() -> None:
    with pytest.raises(InvalidError, match="maybe"):
        postgres_url("db", 5432, "c", "u", ssl="maybe")


def test_a_file_url() -> None:
    assert sqlite_url("/x/db.sqlite").database == "/x/db.sqlite"
