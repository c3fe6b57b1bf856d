"""IP sets: named sets of addresses, built by adding and removing.

Here: what an entry may say, and the addresses a set comes to. Not here: selectors in general (`resolve`).
Called by `validate` and `compile`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acl.addresses import (
    INTERNET,
    AddressRange,
    merge_ranges,
    parse_prefix,
    parse_range,
    subtract_ranges,
)

__all__ = ["IpSetError", "resolve_ipset"]

OPERATIONS = ("add", "remove")


class IpSetError(ValueError):
    """An entry of a set that cannot be used; `entry` is its index in the list of the set being resolved."""

    def __init__(self, entry: int, message: str) -> None:
        super().__init__(message)
        self.entry = entry


def _split(entry: str) -> tuple[str | None, str]:
    word, _, rest = entry.strip().partition(" ")
    return (word, rest.strip()) if word in OPERATIONS and rest.strip() else (None, entry.strip())


def _target(
    text: str,
    entry: int,
    sets: Mapping[str, Sequence[str]],
    hosts: Mapping[str, str],
    path: tuple[str, ...],
) -> list[AddressRange]:
    if text == "autogroup:internet":
        return list(INTERNET)
    if text.startswith("ipset:"):
        if text in path:
            raise IpSetError(entry, f"`{text}` contains itself")
        if text not in sets:
            raise IpSetError(entry, f'ipset not found: "{text}"')
        try:
            return resolve_ipset(text, sets, hosts, path)
        except IpSetError as error:
            raise IpSetError(entry, str(error)) from None
    if text.startswith("host:"):
        name = text.removeprefix("host:")
        address = parse_prefix(hosts.get(name, ""))
        if address is None:
            raise IpSetError(entry, f'host not found: "{name}"')
        return [address]
    found = parse_range(text)
    if found is None:
        raise IpSetError(entry, f'"{text}": invalid address')
    return [found]


def resolve_ipset(
    name: str,
    sets: Mapping[str, Sequence[str]],
    hosts: Mapping[str, str],
    path: tuple[str, ...] = (),
) -> list[AddressRange]:
    """The addresses of a set, as few ascending ranges.

    Args:
        name: the set, with its `ipset:` prefix; a key of `sets`.
        sets: entries by set name; hosts: addresses by host alias.
        path: the sets being resolved around this one.
    Raises:
        IpSetError: an entry that is no address, an unknown name, a cycle, or operations on some entries only.
    """
    entries = [_split(entry) for entry in sets[name]]
    worded = [operation is not None for operation, _ in entries]
    if any(worded) and not all(worded):
        raise IpSetError(worded.index(False), "write `add` or `remove` before every entry, or before none")
    ranges: list[AddressRange] = []
    for index, (operation, text) in enumerate(entries):
        found = _target(text, index, sets, hosts, (*path, name))
        if operation == "remove":
            for hole in found:
                ranges = subtract_ranges(ranges, hole)
        else:
            ranges.extend(found)
    return merge_ranges(ranges)
