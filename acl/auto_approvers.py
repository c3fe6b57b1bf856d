"""Which advertised routes are approved unasked.

Here: the `autoApprovers` section as a question and answer. Not here: keeping approvals; the answer counts
when a route is first advertised, and a later policy neither adds nor removes approvals. Called by `index`.
"""

from __future__ import annotations

from collections.abc import Iterable

from acl.addresses import EXIT_ROUTES, AddressRange, parse_prefix
from acl.document import Policy, Words
from acl.facts import NodeFact
from acl.resolve import IdentityDirectory

__all__ = ["AutoApproverTable"]


def _texts(words: Words) -> tuple[str, ...]:
    texts = (word.text.strip() for word in words)
    return tuple("autogroup:member" if text == "autogroup:members" else text for text in texts)


class AutoApproverTable:
    """The auto approvers of one policy."""

    def __init__(self, policy: Policy | None, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._routes: list[tuple[AddressRange, tuple[str, ...]]] = []
        self._exit: tuple[str, ...] = ()
        if policy is None:
            return
        self._exit = _texts(policy.auto_approvers.exit_node)
        for entry in policy.auto_approvers.routes:
            found = parse_prefix(entry.name.text.strip())
            if found is not None:
                self._routes.append((found, _texts(entry.items)))

    def approved(self, node: NodeFact, advertised: Iterable[str]) -> tuple[str, ...]:
        """Those of the advertised routes that the policy approves for the node, in the order given.

        A key such as `0.0.0.0/0` approves any subnet of its family, never an exit route: only `exitNode`
        does that.
        """
        return tuple(route for route in advertised if self._approves(node, route))

    def _approves(self, node: NodeFact, route: str) -> bool:
        if route in EXIT_ROUTES:
            return self._any(self._exit, node)
        wanted = parse_prefix(route)
        if wanted is None:
            return False
        return any(key.covers(wanted) and self._any(approvers, node) for key, approvers in self._routes)

    def _any(self, approvers: Iterable[str], node: NodeFact) -> bool:
        return any(self._directory.matches(approver, node.owner, node.tags) for approver in approvers)
