"""Posture attributes of the administrator's (or a program's) own: `custom:tier`, `custom:managed` …

Rules that ask for a posture follow at once. A node may set those the policy declares with `allowSetByNode`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ForbiddenError, InvalidError
from coordinator.tailnet.nodes import AttributeValue, NodeID

MAX_ATTRIBUTES = 64
MAX_TEXT = 256
_NAME = re.compile(r"custom:[A-Za-z0-9_.-]{1,64}")
_TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "bool": (bool,)}


class AttributeService:
    """Sets and removes attributes."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    async def set(
        self, node_id: NodeID, changes: Mapping[str, AttributeValue | None], *, actor: Actor
    ) -> Mapping[str, AttributeValue]:
        """Set attributes, or remove those that are None here; all of them or nothing.

        Returns:
            What the node has now.

        Raises:
            NotFoundError: no such node.
            InvalidError: a name is not `custom:…`, or a value is not of the type the policy declares.
        """
        for name, value in changes.items():
            self._check(name, value)

        def command(directory: Directory) -> Mapping[str, AttributeValue]:
            node = directory.node(node_id)
            merged = {**node.attributes, **changes}
            left = {name: value for name, value in sorted(merged.items()) if value is not None}
            if len(left) > MAX_ATTRIBUTES:
                raise InvalidError(f"a node may have {MAX_ATTRIBUTES} attributes; remove some first")
            if left != node.attributes:
                directory.put_node(replace(node, attributes=left))
                before, after = {"attributes": dict(node.attributes)}, {"attributes": left}
                now, target, name = self._tailnet.clock(), f"node:{node_id}", node.given_name
                directory.audit(now, actor, "node.attributes", target, after, before=before, name=name)
            return left

        return await self._tailnet.execute(command)

    async def set_by_node(self, node_id: NodeID, changes: Mapping[str, AttributeValue | None]) -> None:
        """A node's own wish (`/machine/set-device-attr`).

        Raises:
            ForbiddenError: the policy does not let nodes set one of them.
        """
        policy = self._tailnet.world.policy.policy
        declared = policy.attribute_declarations if policy is not None else ()
        allowed = {entry.name.text for entry in declared if entry.allow_set_by_node}
        for name in changes:
            if name not in allowed:
                raise ForbiddenError(f"nodes may not set `{name}`: no `allowSetByNode` for it in attrConfig")
        await self.set(node_id, changes, actor=Actor(kind="node", name=str(node_id)))

    def _check(self, name: str, value: AttributeValue | None) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidError(
                f"attribute `{name[:80]}`: a name is `custom:` and up to 64 letters, digits, `_`, `.` or `-`"
            )
        if value is None:
            return
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise InvalidError(f"attribute `{name}`: the text is longer than {MAX_TEXT} characters")
        policy = self._tailnet.world.policy.policy
        for entry in policy.attribute_declarations if policy is not None else ():
            kinds = _TYPES.get(entry.type)
            # Python counts true and false among the numbers.
            fits = kinds is None or (isinstance(value, kinds) and (bool in kinds) == isinstance(value, bool))
            if entry.name.text == name and not fits:
                raise InvalidError(f"attribute `{name}`: the policy's attrConfig says it is a {entry.type}")
