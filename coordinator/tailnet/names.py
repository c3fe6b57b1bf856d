"""Given names: the DNS labels of nodes.

A given name is derived from the host name the client reports, is a valid label, and is unique: a clash gets
`-1`, `-2`, …
"""

from __future__ import annotations

import re
from collections.abc import Callable

from coordinator.tailnet.errors import InvalidError

MAX_LABEL = 63
FALLBACK = "node"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")


def label_from_hostname(hostname: str) -> str:
    """The label a host name suggests:

    first component, lower case, everything odd becomes `-`, `node` if nothing is left.
    """
    label = hostname.split(".", 1)[0].lower()
    label = re.sub(r"[^a-z0-9-]+", "-", label)
    label = re.sub(r"-{2,}", "-", label).strip("-")[:MAX_LABEL].strip("-")
    return label or FALLBACK


def unique_label(label: str, taken: Callable[[str], bool]) -> str:
    """The label itself, or the first of `label-1`, `label-2`, … that `taken` denies; never longer than 63."""
    if not taken(label):
        return label
    number = 1
    while True:
        suffix = f"-{number}"
        candidate = label[: MAX_LABEL - len(suffix)].rstrip("-") + suffix
        if not taken(candidate):
            return candidate
        number += 1


def validate_given_name(name: str) -> str:
    """Check a name an administrator chose.

    Raises:
        InvalidError: it is no DNS label.
    """
    lowered = name.lower()
    if len(lowered) > MAX_LABEL:
        raise InvalidError(f"node name `{name}` is longer than {MAX_LABEL} characters")
    if not _LABEL.match(lowered):
        raise InvalidError(
            f"node name `{name}` is not a DNS label: use letters, digits and `-`, not at either end"
        )
    return lowered
