"""Records from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.settings.extra_records import with_extra_records
from coordinator.settings.load import SettingsError, load_settings
from coordinator.settings.model import Settings

GOOD = "server_url: http://10.0.0.1:8080\ndns: {base_domain: tail.lab, override_local_dns: false"


def settings(tmp_path: Path, more: str = "") -> Settings:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD + more + "}\n")
    return load_settings(path, {})[0]


def test_nothing_happens_without_a_file(tmp_path: Path) -> None:
    given = settings(tmp_path)
    assert with_extra_records(given) == given


def test_the_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('[{"name": "a.tail.lab", "type": "A", "value": "100.64.0.9"}]')
    filled = with_extra_records(settings(tmp_path, ", extra_records_path: r.json"))
    assert filled.dns.extra_records == ({"name": "a.tail.lab", "type": "A", "value": "100.64.0.9"},)


def test_an_empty_file_is_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(" \n")
    assert with_extra_records(settings(tmp_path, ", extra_records_path: r.json")).dns.extra_records == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"{", "JSON array"),
        (b"{}", "must be a list"),
        (b"\xff", "utf-8"),
        (b'[{"name": "a.b", "value": "x"}]', "record 1: `x` is not an address"),
        (b'[{"name": "*.b", "value": "1.2.3.4"}]', "exact names only"),
        (b'[{"name": "a.b", "value": "1.2.3.4"}, 7]', "must be a mapping"),
        (b"[" * 100_000, "JSON array"),
        (b" " * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"dns\.extra_records_path") as caught:
        with_extra_records(settings(tmp_path, ", extra_records_path: r.json"))
    assert words in str(caught.value)
