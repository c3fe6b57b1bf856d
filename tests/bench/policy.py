"""The policy engine alone: cold compile, one node more, one user changed, one rule edited, all peer sets.

    python -m tests.bench.policy [--nodes 500,1000,2000,5000]

The tailnet: nodes / 10 users, nodes / 25 groups, 50 tags, nodes / 5 rules; half of the nodes are tagged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from acl import NodeFact, PolicyIndex, TailnetFacts, UserFact, parse_policy

TAGS = 50


def make_users(count: int) -> list[UserFact]:
    """Users u0, u1, …"""
    return [UserFact(id=n + 1, login=f"u{n}@example.com", name=f"u{n}") for n in range(count)]


def make_node(number: int, users: int, chance: random.Random) -> NodeFact:
    """A node of a user, or with one tag."""
    tagged = chance.random() < 0.5
    return NodeFact(
        id=number + 1,
        index=number,
        name=f"n{number}",
        user_id=None if tagged else chance.randrange(users) + 1,
        tags=(f"tag:t{chance.randrange(TAGS)}",) if tagged else (),
        ipv4=IPv4Address("100.64.0.1") + number,
        ipv6=IPv6Address("fd7a:115c:a1e0::1") + number,
        created_order=number,
    )


def make_policy(nodes: int, chance: random.Random, changed: int | None = None) -> str:
    """A policy of many small rules; `changed` names a rule that opens another port."""
    users, groups, rules = nodes // 10, nodes // 25, nodes // 5
    members = {
        f"group:g{n}": [f"u{chance.randrange(users)}@example.com" for _ in range(5)] for n in range(groups)
    }
    acls = []
    for number in range(rules):
        source = f"group:g{chance.randrange(groups)}" if number % 2 else f"tag:t{chance.randrange(TAGS)}"
        target = f"tag:t{chance.randrange(TAGS)}"
        port = 9999 if number == changed else 1000 + number % 50
        acls.append({"action": "accept", "src": [source], "dst": [f"{target}:{port}"]})
    owners: dict[str, list[str]] = {f"tag:t{n}": [] for n in range(TAGS)}
    return json.dumps({"groups": members, "tagOwners": owners, "acls": acls})


def timed(work: Callable[[], object], times: int = 1) -> float:
    """CPU milliseconds of one execution, on average."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) * 1000 / times


def measure(count: int) -> dict[str, float]:
    """All figures for one size."""
    chance = random.Random(7)
    users = make_users(count // 10)
    facts = TailnetFacts(domain="example.com", users=users)
    nodes = [make_node(number, len(users), chance) for number in range(count + 20)]
    text = make_policy(count, random.Random(1))
    edited = parse_policy(make_policy(count, random.Random(1), changed=3))
    figures: dict[str, float] = {}
    holder: list[PolicyIndex] = []

    def cold() -> None:
        holder.append(PolicyIndex(parse_policy(text), facts, nodes[:count]))

    figures["cold: parse and compile, ms"] = timed(cold)
    index = holder[0]
    figures["all peer sets, ms"] = timed(lambda: [index.peers(node.id) for node in nodes[:count]])
    figures["all filters, ms"] = timed(lambda: [index.filter_rules(node.id) for node in nodes[:count]])
    joiners = iter(nodes[count:])
    figures["one node joins, ms"] = timed(lambda: index.upsert(next(joiners)), 20)
    more = TailnetFacts(
        domain="example.com", users=users, extra_groups={"group:g1": [f"u{n}@example.com" for n in range(9)]}
    )
    figures["one group changes, ms"] = timed(lambda: index.replace_facts(more))
    figures["one rule is edited, ms"] = timed(lambda: index.replace_policy(edited))
    figures["peak memory, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.policy")
    parser.add_argument("--nodes", default="500,1000,2000,5000", help="comma list")
    counts = [int(text) for text in parser.parse_args().nodes.split(",")]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, one core used"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}\n")
    results = [measure(count) for count in counts]
    print("| nodes | " + " | ".join(map(str, counts)) + " |")
    print("|---" * (len(counts) + 1) + "|")
    for figure in results[0]:
        print(f"| {figure} | " + " | ".join(f"{result[figure]:.2f}" for result in results) + " |")


if __name__ == "__main__":
    main()
