"""Which tags an administrator may put on a node or a key."""

from __future__ import annotations

from collections.abc import Sequence

from acl import PolicyIndex
from coordinator.tailnet.errors import InvalidError


def validated_tags(policy: PolicyIndex, tags: Sequence[str]) -> tuple[str, ...]:
    """Tags in canonical order.

    Raises:
        InvalidError: one has no `tag:` prefix, is not lower case, or is not in the policy's tagOwners.
    """
    for tag in tags:
        if not tag.startswith("tag:") or len(tag) == len("tag:"):
            raise InvalidError(f"tag `{tag}` must have the form `tag:name`")
        if tag != tag.lower():
            raise InvalidError(f"tag `{tag}` must be lower case")
        if any(character.isspace() for character in tag):
            raise InvalidError(f"tag `{tag}` must not hold blanks")
        if not policy.tag_exists(tag):
            raise InvalidError(f"tag `{tag}` is not in the policy: add it to `tagOwners` first")
    return tuple(sorted(set(tags)))
