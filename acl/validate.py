"""Whole-file checks of a policy: every finding, in the official service's order of precedence.

Here: the sections that only declare names, the order of checks, and the checks that need to know the
tailnet. Not here: rules (`validate_rules`), SSH (`validate_ssh`), running the policy's own tests
(`policy_tests`). Called by `acl.parse_policy` and `acl.check_policy`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from acl.addresses import AddressRange, parse_prefix
from acl.document import NodeAttribute, Policy, Word
from acl.facts import TailnetFacts
from acl.ipsets import IpSetError, resolve_ipset
from acl.placement import Names, Place, check_selector, problem
from acl.postures import PostureError, parse_assertion
from acl.problems import Problem
from acl.profiles import check_access_tests, check_profile
from acl.selectors import SelectorKind, parse_selector
from acl.validate_rules import check_acl, check_capability_name, check_grant, check_postures
from acl.validate_ssh import LOCALPART, check_ssh_entry, check_ssh_test

__all__ = ["check_against", "check_document"]

# Address space a pool may not touch: the service address, its neighbourhood, and ChromeOS's own network.
_RESERVED = tuple(
    item
    for item in (
        parse_prefix("100.100.100.0/24"),
        parse_prefix("100.100.0.0/24"),
        parse_prefix("100.115.92.0/23"),
    )
    if item is not None
)
_CGNAT_ROUTE = ("", "mac-always", "mac-never")
_ATTRIBUTE_TYPES = ("", "string", "number", "bool")


def _check_groups(policy: Policy) -> Iterator[Problem]:
    # Of several wrong groups the service names the one that sorts last, so that one comes first.
    for group in sorted(policy.groups, key=lambda group: group.name.text, reverse=True):
        name = group.name.text
        quoted = json.dumps(name, ensure_ascii=False)
        if not name.startswith("group:") or name == "group:":
            yield problem(
                "bad-name", f"groups[{quoted}]: group names must start with 'group:'", group.name.span
            )
        for word in group.items:
            text = word.text.strip()
            if text.startswith("group:"):
                message = f'groups[{quoted}]: "{text}": group members cannot be recursive'
                yield problem("nested-group", message, word.span)
            elif parse_selector(text).kind is not SelectorKind.USER:
                message = f'groups[{quoted}]: "{text}": group members must be users'
                yield problem("bad-member", message, word.span)


def _check_tag_owners(policy: Policy, names: Names) -> Iterator[Problem]:
    for entry in policy.tag_owners:
        name = entry.name.text
        quoted = json.dumps(name, ensure_ascii=False)
        letter = name.removeprefix("tag:")[:1]
        if not name.startswith("tag:") or not (letter.isascii() and letter.isalpha()):
            message = f"tagOwners[{quoted}]: tag names must start with a letter, after 'tag:'"
            yield problem("bad-name", message, entry.name.span)
        yield from _selectors(entry.items, Place.OWNER, names)


def _check_hosts(policy: Policy) -> Iterator[Problem]:
    for name, target in policy.hosts:
        quoted = json.dumps(name.text, ensure_ascii=False)
        if "@" in name.text or not name.text.strip():
            yield problem("bad-name", f"hosts[{quoted}]: a host name has no @ and is not empty", name.span)
        if parse_prefix(target.text.strip()) is None:
            yield problem("bad-address", f'hosts[{quoted}]: "{target.text}": invalid address', target.span)


def _check_ipsets(policy: Policy, names: Names) -> Iterator[Problem]:
    for entry in policy.ipsets:
        name = entry.name.text
        if not name.startswith("ipset:") or name == "ipset:":
            message = f"ipsets[{json.dumps(name)}]: names of IP sets must start with 'ipset:'"
            yield problem("bad-name", message, entry.name.span)
            continue
        try:
            resolve_ipset(name, names.ipsets, names.hosts)
        except IpSetError as error:
            yield problem("bad-ipset", f"ipsets[{json.dumps(name)}]: {error}", entry.items[error.entry].span)


def _check_posture_section(policy: Policy, names: Names) -> Iterator[Problem]:
    for entry in policy.postures:
        name = entry.name.text
        if not name.startswith("posture:") or name == "posture:":
            message = f"postures[{json.dumps(name)}]: names of postures must start with 'posture:'"
            yield problem("bad-name", message, entry.name.span)
        if not entry.items:
            yield problem(
                "empty-posture", f"postures[{json.dumps(name)}]: no assertion given", entry.name.span
            )
        for word in entry.items:
            try:
                parse_assertion(word.text)
            except PostureError as error:
                yield problem("bad-assertion", f"postures[{json.dumps(name)}]: {error}", word.span)
    yield from check_postures(policy.default_src_posture, names)


def _selectors(words: Iterable[Word], place: Place, names: Names) -> Iterator[Problem]:
    for word in words:
        found = check_selector(word, place, names)
        if found is not None:
            yield found


def _check_auto_approvers(policy: Policy, names: Names) -> Iterator[Problem]:
    approvers = policy.auto_approvers
    for entry in approvers.routes:
        if parse_prefix(entry.name.text.strip()) is None:
            message = f'autoApprovers.routes: "{entry.name.text}": invalid prefix'
            yield problem("bad-address", message, entry.name.span)
        yield from _selectors(entry.items, Place.APPROVER, names)
    yield from _selectors(approvers.exit_node, Place.APPROVER, names)
    for entry in approvers.services:
        if parse_selector(entry.name.text).kind not in (SelectorKind.SERVICE, SelectorKind.TAG):
            message = f'autoApprovers.services: "{entry.name.text}": write svc:name or a tag'
            yield problem("bad-name", message, entry.name.span)
        yield from _selectors(entry.items, Place.APPROVER, names)


def _check_node_attribute(entry: NodeAttribute, names: Names) -> Iterator[Problem]:
    yield from _selectors(entry.target, Place.TARGET, names)
    for word in entry.ip_pool:
        pool = parse_prefix(word.text.strip())
        if pool is None or pool.version != 4:
            yield problem("bad-address", f"IPPool({word.text}): not an IPv4 prefix", word.span)
        elif _overlaps_any(pool, _RESERVED):
            yield problem(
                "reserved-pool", f"IPPool({pool.prefix_text}): network within reserved range", word.span
            )
    for capability in entry.app:
        # App connectors are the one capability under tailscale.com that stands here and not in a grant.
        if capability.name.text != "tailscale.com/app-connectors":
            found = check_capability_name(capability)
            if found is not None:
                yield found


def _overlaps_any(item: AddressRange, others: Iterable[AddressRange]) -> bool:
    return any(item.overlaps(other) for other in others)


def _check_top_level(policy: Policy) -> Iterator[Problem]:
    if policy.one_cgnat_route not in _CGNAT_ROUTE:
        message = f'OneCGNATRoute="{policy.one_cgnat_route}" is not supported'
        yield Problem(code="bad-value", message=message, help="write mac-always, mac-never or nothing")
    for entry in policy.attribute_declarations:
        if not entry.name.text.startswith("custom:"):
            message = f"attrConfig[{json.dumps(entry.name.text)}]: names must start with 'custom:'"
            yield problem("bad-name", message, entry.name.span)
        if entry.type not in _ATTRIBUTE_TYPES:
            message = f'attrConfig[{json.dumps(entry.name.text)}]: type "{entry.type}" is not supported'
            yield problem("bad-value", message, entry.name.span, _ATTRIBUTE_TYPES, entry.type)


def check_document(policy: Policy) -> list[Problem]:
    """Every finding that needs no knowledge of the tailnet, the service's first choice first."""
    names = Names(policy)
    out = [
        *_check_groups(policy),
        *_check_tag_owners(policy, names),
        *_check_hosts(policy),
        *_check_ipsets(policy, names),
        *_check_posture_section(policy, names),
    ]
    for acl in policy.acls or ():
        out.extend(check_acl(acl, names))
    for grant in policy.grants or ():
        out.extend(check_grant(grant, names))
    out.extend(_check_auto_approvers(policy, names))
    for attribute in policy.node_attributes:
        out.extend(_check_node_attribute(attribute, names))
    for entry in policy.ssh:
        out.extend(check_ssh_entry(entry, names))
    for test in policy.ssh_tests:
        out.extend(check_ssh_test(test, names))
    for profile in policy.access_profiles:
        out.extend(check_profile(profile, names))
    out.extend(check_access_tests(policy))
    out.extend(_check_top_level(policy))
    return out


def _placed_selectors(policy: Policy) -> Iterator[tuple[Word, str, str]]:
    """Every selector of the policy as (word, selector text, prefix of a message about it)."""
    for acl in policy.acls or ():
        yield from ((word, word.text, "") for word in acl.src)
        yield from ((word, word.text.strip().rpartition(":")[0], "") for word in acl.dst)
    for grant in policy.grants or ():
        yield from ((word, word.text, "") for word in (*grant.src, *grant.dst))
    for entry in policy.tag_owners:
        yield from ((word, word.text, "") for word in entry.items)
    for entry in (*policy.auto_approvers.routes, *policy.auto_approvers.services):
        yield from ((word, word.text, "") for word in entry.items)
    yield from ((word, word.text, "") for word in policy.auto_approvers.exit_node)
    for attribute in policy.node_attributes:
        yield from ((word, word.text, "") for word in attribute.target)
    for profile in policy.access_profiles:
        people = (*profile.src, *profile.approvers, *profile.break_glass)
        yield from ((word, word.text, "[access] ") for word in people)
        yield from ((word, word.text.strip().rpartition(":")[0], "[access] ") for word in profile.dst)
    for rule in policy.ssh:
        yield from ((word, word.text, "[ssh] ") for word in (*rule.src, *rule.dst))


def check_against(policy: Policy, facts: TailnetFacts) -> list[Problem]:
    """Findings that depend on the tailnet: domains it does not own, groups nobody declared."""
    out: list[Problem] = []
    groups = {group.name.text for group in policy.groups} | set(facts.extra_groups)

    def associated(domain: str, word: Word, prefix: str) -> None:
        if not facts.owns(domain):
            message = (
                f"{prefix}{domain} is not associated with this Tailnet and cannot be used in user:*@<domain>"
                " expressions"
            )
            out.append(problem("foreign-domain", message, word.span, facts.associated_domains or (), domain))

    for word, text, prefix in _placed_selectors(policy):
        selector = parse_selector(text)
        if selector.kind is SelectorKind.DOMAIN:
            associated(selector.domain, word, prefix)
        elif selector.kind is SelectorKind.GROUP and selector.text not in groups:
            message = f'{prefix}group not found: "{selector.text}"'
            out.append(problem("unknown-group", message, word.span, groups, selector.text))
    for rule in policy.ssh:
        for word in rule.users or ():
            if word.text.strip().startswith(LOCALPART):
                associated(word.text.strip().removeprefix(LOCALPART), word, "")
    return out
