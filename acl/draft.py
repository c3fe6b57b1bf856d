"""A policy made ready to take another one's place.

Here: `PolicyDraft`: the costly part, which looks at nothing that changes meanwhile and so may run in another
thread. Not here: putting it in force, which `index.PolicyIndex.adopt` does with the nodes of that moment.
Made by `PolicyIndex.draft`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from acl.document import Policy
from acl.engine import Engine
from acl.facts import NodeFact, TailnetFacts
from acl.policy_tests import run_tests
from acl.problems import Problem
from acl.updates import add, remove
from acl.validate import check_against

__all__ = ["PolicyDraft"]


@dataclass(slots=True, kw_only=True)
class PolicyDraft:
    """A policy, and the users and nodes it was compiled for.

    Attributes:
        policy: None allows everything.
        problems: what is wrong with it on that tailnet, its own tests included; known once compiled.
    """

    policy: Policy | None
    facts: TailnetFacts
    nodes: Sequence[NodeFact]
    problems: tuple[Problem, ...] = ()
    _engine: Engine | None = field(default=None, repr=False)

    def compile(self) -> None:
        """Do the work; in any thread, once. An engine is made only if there is no problem without one."""
        if self.policy is not None:
            self.problems = tuple(check_against(self.policy, self.facts))
        if not self.problems:
            self._engine = Engine(self.policy, self.facts, self.nodes)
            self.problems = tuple(run_tests(self._engine))

    def engine(self, facts: TailnetFacts, present: dict[int, NodeFact]) -> Engine:
        """The engine, for the users and nodes there are now; the draft is used up.

        Nodes that came, went or changed since are caught up with one by one; other users or settings need a
        new engine.
        """
        engine, self._engine = self._engine, None
        if engine is None or facts is not self.facts:
            return Engine(self.policy, facts, present.values())
        for node in self.nodes:
            if present.get(node.id) is not node:
                remove(engine, node)
        known = engine.nodes.by_id
        for node_id, node in present.items():
            if node_id not in known:
                add(engine, node)
        return engine
