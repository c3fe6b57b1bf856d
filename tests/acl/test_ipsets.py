"""IP sets: operations in order, references, and what is wrong."""

from __future__ import annotations

import pytest

from acl.ipsets import IpSetError, resolve_ipset

HOSTS = {"lan": "10.0.0.0/24"}


def spelled(*entries: str, **others: list[str]) -> list[str]:
    sets = {"ipset:x": entries, **{f"ipset:{name}": value for name, value in others.items()}}
    return [item.text for item in resolve_ipset("ipset:x", sets, HOSTS)]


def test_entries_without_operation_are_added() -> None:
    assert spelled("10.0.0.0/25", "10.0.0.128/25", "fd00::1") == ["10.0.0.0/24", "fd00::1"]


def test_operations_apply_in_order() -> None:
    assert spelled("add host:lan", "remove 10.0.0.0-10.0.0.127") == ["10.0.0.128/25"]
    assert spelled("add host:lan", "remove 10.0.0.5", "add 10.0.0.5") == ["10.0.0.0/24"]
    assert spelled("remove 10.0.0.5", "add 10.0.0.4/31") == ["10.0.0.4/31"]


def test_sets_refer_to_sets_and_to_the_internet() -> None:
    assert spelled("add ipset:y", "remove 10.0.0.1", y=["10.0.0.0/31"]) == ["10.0.0.0"]
    assert spelled("add autogroup:internet")[0] == "0.0.0.0-9.255.255.255"


@pytest.mark.parametrize(
    ("entries", "entry", "message"),
    [
        (["add 10.0.0.0/8", "10.0.0.1"], 1, "before every entry"),
        (["tag:x"], 0, "invalid address"),
        (["10.0.0.1", "host:nope"], 1, "host not found"),
        (["ipset:nope"], 0, "ipset not found"),
        (["ipset:x"], 0, "contains itself"),
        (["ipset:loop"], 0, "contains itself"),
    ],
)
def test_bad_entries(entries: list[str], entry: int, message: str) -> None:
    with pytest.raises(IpSetError, match=message) as caught:
        spelled(*entries, loop=["ipset:x"])
    assert caught.value.entry == entry
