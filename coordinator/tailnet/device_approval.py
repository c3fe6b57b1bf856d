"""Device approval: which new nodes wait for an administrator.

Pure: the registration service asks when a machine joins; `services.device_approval` carries out decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.tailnet.nodes import APPROVED, PENDING, REJECTED, Node
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.users import User


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """What the configuration says.

    Attributes:
        required: Whether new nodes wait at all.
        exempt_users: Names, logins or e-mails whose untagged nodes do not wait.
        exempt_tags: Tags with the `tag:` prefix; a node that has only such tags does not wait.
    """

    required: bool = False
    exempt_users: frozenset[str] = frozenset()
    exempt_tags: frozenset[str] = frozenset()

    def state(
        self, *, user: User | None, tags: Sequence[str], key: PreAuthKey | None, former: Node | None
    ) -> str:
        """The approval a joining node has.

        A node that was approved stays so. A rejected one does not come back by itself: with a new NodeKey
        it waits again, unless its new auth key is pre-approved.

        Args:
            user: Owner of an untagged node.
            tags: Tags of the node, if it has any.
            key: The auth key it came with.
            former: The node it continues.

        Returns:
            `APPROVED` or `PENDING`.
        """
        if former is not None and former.approved:
            return APPROVED
        if key is not None and key.preapproved:
            return APPROVED
        if former is not None and former.approval == REJECTED:
            return PENDING
        if not self.required:
            return APPROVED
        if tags:
            # Every tag has to be exempt: one that is not gives access an administrator wanted to decide on.
            return APPROVED if self.exempt_tags.issuperset(tags) else PENDING
        if user is not None and self.exempt_users & {user.name, user.login, user.email}:
            return APPROVED
        return PENDING
