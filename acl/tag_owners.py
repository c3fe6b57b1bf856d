"""Who may apply a tag.

Here: the `tagOwners` section as a question and answer. Not here: whether a key or a node asks (services).
Tag owners have no influence on filters. Called by `index`.
"""

from __future__ import annotations

from collections.abc import Iterable

from acl.document import Policy
from acl.resolve import IdentityDirectory

__all__ = ["TagOwners"]


class TagOwners:
    """The tag owners of one policy."""

    def __init__(self, policy: Policy | None, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._owners: dict[str, tuple[str, ...]] = {}
        for entry in policy.tag_owners if policy is not None else ():
            owners = tuple(word.text.strip() for word in entry.items)
            owners = tuple("autogroup:member" if owner == "autogroup:members" else owner for owner in owners)
            # A tag nobody is named for is the admins'.
            self._owners[entry.name.text] = owners or ("autogroup:admin",)

    def exists(self, tag: str) -> bool:
        """Whether the policy declares the tag."""
        return tag in self._owners

    def allows(self, tag: str, user_id: int | None, tags: Iterable[str]) -> bool:
        """Whether a user, or something that carries `tags`, may apply a tag.

        A tag that owns a tag passes the right on, to what carries it and to its own owners. In a cycle the
        looping edge gives nobody anything.
        """
        carried = frozenset(tags)
        waiting, seen = [tag], {tag}
        while waiting:
            for owner in self._owners.get(waiting.pop(), ()):
                if carried and self._directory.matches(owner, None, carried):
                    return True
                if user_id is not None and self._directory.matches(owner, user_id, ()):
                    return True
                if owner.startswith("tag:") and owner not in seen:
                    seen.add(owner)
                    waiting.append(owner)
        return False
