"""The policy engine: what a tailnet policy means for users and nodes.

Text goes in through `parse_policy`, facts through `PolicyIndex`; filters, peers, SSH rules and capabilities
come out as plain values. Pure: no I/O, no clock, nothing of the server. Room guide: `hujson` and `reading`
turn text into `document`; `validate*` and `policy_tests` find what is wrong; `compile` and `resolve` say
what it means; `engine` and `updates` keep it current over thousands of nodes; `packet_filter`,
`visibility`, `ssh` and the others answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from acl.declared import with_declared
from acl.document import AccessProfile, Policy
from acl.draft import PolicyDraft
from acl.explain import Explanation, explain
from acl.facts import NodeFact, TailnetFacts, UserFact
from acl.hujson import decode_policy, parse_hujson, standardize
from acl.index import PolicyIndex
from acl.packet_filter import CapGrant, DstPort, FilterRule
from acl.problems import PolicyError, Problem, Span, service_error
from acl.reach import Reach, ReachRule
from acl.reading import read_policy
from acl.ssh import SSHAction, SSHRule
from acl.validate import check_document
from acl.visibility import PeerView, SelfView
from acl.windows import OpenWindow

__all__ = [
    "AccessProfile",
    "CapGrant",
    "DstPort",
    "Explanation",
    "FilterRule",
    "NodeFact",
    "OpenWindow",
    "PeerView",
    "Policy",
    "PolicyDraft",
    "PolicyError",
    "PolicyIndex",
    "Problem",
    "Reach",
    "ReachRule",
    "SSHAction",
    "SSHRule",
    "SelfView",
    "Span",
    "TailnetFacts",
    "UserFact",
    "check_policy",
    "decode_policy",
    "explain",
    "parse_policy",
    "service_error",
    "standardize",
]


def parse_policy(text: str, declared: Sequence[AccessProfile] = ()) -> Policy:
    """Read and check a policy.

    Args:
        text: HuJSON.
        declared: access profiles from elsewhere that join it; the policy's `text` stays as it is.

    Raises:
        PolicyError: with every problem found, those of the declared profiles included. A syntax error hides
        the rest; wrong types and unknown keys do not.
    """
    policy, problems = read_policy(parse_hujson(text), text)
    policy, clashes = with_declared(policy, declared)
    problems.extend(clashes)
    problems.extend(check_document(policy))
    if any(problem.severity == "error" for problem in problems):
        raise PolicyError(problems)
    return replace(policy, warnings=tuple(problems))


def check_policy(policy: Policy, facts: TailnetFacts, nodes: Iterable[NodeFact] = ()) -> tuple[Problem, ...]:
    """What is wrong with a policy on a given tailnet, its own `tests` and `sshTests` included.

    Where an index already holds the nodes, `PolicyIndex.check` does the same for less.
    """
    return PolicyIndex(None, facts, nodes).check(policy)
