"""The policy's own assertions: `tests` and `sshTests`.

Here: running them against an engine. Not here: what makes an SSH test's destination wrong by itself
(`validate_ssh`). Called by `acl.check_policy` and `index`. The official service answers every failure with
the one text `test(s) failed`; what exactly failed is in each problem's help.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from acl.addresses import TAILNET, AddressRange, Version, parse_prefix
from acl.compile import RuleKind, RuleTemplate, SetSpec, Target
from acl.document import AccessTest, Policy, PolicyTest, SshTest, Word
from acl.nodes import bits, node_addresses
from acl.ports import PortError, parse_protocol
from acl.problems import Problem, Span
from acl.profiles import profile_rules
from acl.resolve import MEMBER, TAGGED
from acl.selectors import ROLE_AUTOGROUPS, Selector, SelectorKind, parse_selector

if TYPE_CHECKING:
    from acl.engine import Engine
    from acl.ssh import SSHRule

__all__ = ["deciding_rules", "named_addresses", "run_tests", "spec_holds"]

Address = tuple[Version, int]
FAILED = "test(s) failed"
TCP_OR_UDP = (6, 17)
MAX_PORT = 65535


def _failure(span: Span, detail: str) -> Problem:
    return Problem(code="test-failed", message=FAILED, span=span, help=detail)


# -- who and where
# ---------------------------------------------------------------------------------------------


def _known_identity(engine: Engine, selector: Selector) -> bool:
    policy, text = engine.policy, selector.text
    if selector.kind is SelectorKind.TAG:
        return policy is not None and text in policy.tags()
    if selector.kind is SelectorKind.GROUP:
        return text in engine.facts.extra_groups or (policy is not None and text in policy.group_members())
    if selector.kind is SelectorKind.USER:
        return bool(engine.directory.users_of(text))
    if selector.kind is SelectorKind.AUTOGROUP:
        return text in (MEMBER, TAGGED) or text in ROLE_AUTOGROUPS
    return selector.kind is SelectorKind.DOMAIN and engine.facts.owns(selector.domain)


def _identity_nodes(engine: Engine, text: str) -> int:
    out = 0
    for index, node in engine.nodes.by_index.items():
        if engine.directory.matches(text, node.owner, node.tags):
            out |= 1 << index
    return out


def _single(engine: Engine, selector: Selector) -> Address | None:
    """The one address an address selector or host alias means; None for any prefix, `/32` included."""
    text = selector.text
    if selector.kind is SelectorKind.HOST and engine.policy is not None:
        text = engine.policy.host_addresses().get(text, "")
    elif "/" in text:
        return None
    found = parse_prefix(text)
    return (found.version, found.first) if found is not None and found.single else None


def named_addresses(engine: Engine, text: str) -> list[Address] | None:
    """The addresses of a source or destination of a test; None when it cannot stand there or is unknown."""
    selector = parse_selector(text)
    if selector.kind in (SelectorKind.PREFIX, SelectorKind.HOST):
        single = _single(engine, selector)
        return None if single is None else [single]
    if selector.kind is SelectorKind.PEER:
        ranges = engine.maker.spec([selector]).ranges
        return [(item.version, item.first) for item in ranges if item.single] or None
    if not _known_identity(engine, selector):
        return None
    nodes = _identity_nodes(engine, selector.text)
    return [address for index in bits(nodes) for address in node_addresses(engine.nodes.by_index[index])]


# -- what the rules say
# ----------------------------------------------------------------------------------------


def spec_holds(engine: Engine, spec: SetSpec, owner: int | None, address: Address, *, source: bool) -> bool:
    """Whether an address is in a set, judged by the node that has it and by the address itself."""
    nodes = [engine.nodes.by_index[index] for index in bits(engine.nodes.at(*address))]
    if spec.postures:
        nodes = [node for node in nodes if not engine.postures_of(node).isdisjoint(spec.postures)]
    if owner is not None:
        nodes = [node for node in nodes if node.owner == owner]
    if (spec.postures or owner is not None) and not nodes:
        return False
    if spec.everything or any(item.holds(*address) for item in spec.ranges):
        return True
    if spec.wildcard:
        if not source or any(item.holds(*address) for item in TAILNET):
            return True
        if any(item.holds(*address) for item in _listed_routes(engine)):
            return True
    return any(not engine.identities(node.owner, node.tags).isdisjoint(spec.identities) for node in nodes)


def _listed_routes(engine: Engine) -> Iterator[AddressRange]:
    for text in engine.routes.holders:
        found = parse_prefix(text)
        if found is not None:
            yield found


def deciding_rules(
    engine: Engine, source: Address, destination: Address, port: int, protocols: Sequence[int]
) -> Iterator[tuple[RuleTemplate, Target]]:
    """The rules that let one address reach another, first one first, with the destination that matched.

    Works on the unreduced rules: via rules count for every destination they name, whoever routes it.
    """
    candidates: list[tuple[RuleTemplate, int | None]] = [(rule.template, None) for rule in engine.rules]
    candidates.extend((rule.template, owner) for owner, rules in engine.own_rules.items() for rule in rules)
    candidates.extend((template, None) for template in engine.via_templates)
    for template, owner in sorted(candidates, key=lambda item: item[0].ordinal):
        if template.kind is not RuleKind.PORTS:
            continue
        if template.protocols and not set(template.protocols) & set(protocols):
            continue
        if not spec_holds(engine, template.source, owner, source, source=True):
            continue
        for target in template.targets:
            if not any(item.holds(port) for item in target.ports):
                continue
            if spec_holds(engine, target.spec, owner, destination, source=False):
                yield template, target
                break


def _reaches(
    engine: Engine, sources: list[Address], destinations: list[Address], port: int, protocols: Sequence[int]
) -> bool:
    return all(
        any(next(deciding_rules(engine, s, d, port, protocols), None) is not None for d in destinations)
        for s in sources
    )


# -- tests
# -----------------------------------------------------------------------------------------------------


def _destination(engine: Engine, text: str) -> tuple[list[Address], int] | str:
    """A test destination `host:port` as addresses and port, or what is wrong with it."""
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > MAX_PORT:
        return f"`{text}` needs one port from 0 to {MAX_PORT} after its last colon"
    addresses = named_addresses(engine, host)
    if addresses is None:
        return f"`{host}` is not a known user, group, tag, host or single address"
    return addresses, int(port)


def _run_test(engine: Engine, test: PolicyTest, where: str) -> Iterator[Problem]:
    if test.src is None or not test.src.text.strip():
        yield _failure(test.span, f"{where}: no src given")
        return
    source = test.src.text.strip()
    if not test.accept and not test.deny:
        yield _failure(test.span, f"{where}: neither accept nor deny given")
        return
    sources = named_addresses(engine, source)
    if sources is None:
        yield _failure(
            test.src.span, f"{where}: `{source}` is not a known user, group, tag, host or single address"
        )
        return
    if not sources:
        yield _failure(test.src.span, f"{where}: `{source}` has no nodes")
        return
    protocols: tuple[int, ...] = TCP_OR_UDP
    if test.proto is not None and test.proto.text.strip():
        try:
            protocols = (parse_protocol(test.proto.text),)
        except PortError as error:
            yield _failure(test.proto.span, f"{where}: {error}")
            return
    for expected, words in ((True, test.accept), (False, test.deny)):
        for word in words:
            destination = _destination(engine, word.text)
            if isinstance(destination, str):
                yield _failure(word.span, f"{where}: {destination}")
            elif _reaches(engine, sources, *destination, protocols) is not expected:
                verb = "cannot reach" if expected else "can reach"
                yield _failure(word.span, f"{where}: `{source}` {verb} `{word.text.strip()}`")


# -- sshTests
# --------------------------------------------------------------------------------------------------


def _admits(rules: Iterable[SSHRule], address: str, name: str, *, check_only: bool) -> bool:
    for rule in rules:
        if address not in rule.principals or (check_only and rule.action.kind != "check"):
            continue
        users = dict(rule.ssh_users)
        if users.get(name) or (name != "root" and name not in users and users.get("*")):
            return True
    return False


def _ssh_sources(engine: Engine, text: str) -> list[str]:
    """Addresses of the nodes a source means."""
    found = named_addresses(engine, text)
    out = []
    for address in found or ():
        for index in bits(engine.nodes.at(*address)):
            strings = engine.nodes.strings(index)
            out.append(strings[node_addresses(engine.nodes.by_index[index]).index(address)])
    return out


def _run_ssh_test(engine: Engine, test: SshTest, where: str) -> Iterator[Problem]:
    asked = (("accept", test.accept), ("check", test.check), ("deny", test.deny))
    if not any(words for _, words in asked):
        yield _failure(test.span, f"{where}: none of accept, check and deny given")
        return
    source = "" if test.src is None else test.src.text.strip()
    sources = _ssh_sources(engine, source) if source else []
    if not sources:
        yield _failure(test.span, f"{where}: src `{source}` names no node")
        return
    nodes = 0
    for word in test.dst:
        found = 0
        for address in named_addresses(engine, word.text.strip()) or ():
            found |= engine.nodes.at(*address)
        if not found:
            yield _failure(word.span, f"{where}: dst `{word.text.strip()}` names no node")
        nodes |= found
    if not test.dst:
        yield _failure(test.span, f"{where}: no dst given")
    for index in bits(nodes):
        node = engine.nodes.by_index[index]
        rules = engine.ssh.rules(node)
        for kind, words in asked:
            for word in words:
                yield from _judge(
                    rules, sources, kind, word, f"{where}: `{source}` as `{word.text}` on {node.name}"
                )


def _judge(
    rules: Iterable[SSHRule], sources: list[str], kind: str, word: Word, what: str
) -> Iterator[Problem]:
    name = word.text.strip()
    if not name:
        yield _failure(word.span, f"{what}: empty login name")
        return
    for address in sources:
        admitted = _admits(rules, address, name, check_only=kind == "check")
        if admitted is (kind == "deny"):
            yield _failure(
                word.span, f"{what}: {'admitted' if admitted else 'not admitted'}, expected {kind}"
            )
            return


def _with_attributes(engine: Engine, test: PolicyTest | SshTest) -> Engine:
    """The engine to run a test on: where the test supposes posture attributes, its source nodes have them."""
    if not test.posture_attributes or test.src is None:
        return engine
    sources = 0
    for address in named_addresses(engine, test.src.text.strip()) or ():
        sources |= engine.nodes.at(*address)
    supposed = dict(test.posture_attributes)
    nodes = [
        replace(node, attributes={**node.attributes, **supposed}) if sources >> index & 1 else node
        for index, node in engine.nodes.by_index.items()
    ]
    return type(engine)(engine.policy, engine.facts, nodes)


def _run_access_test(engine: Engine, policy: Policy, entry: AccessTest, where: str) -> Iterator[Problem]:
    """A test on the policy and what a window of the profile opens for the source, if that may ask for one."""
    test, name = entry.test, entry.profile.text.strip() if entry.profile is not None else ""
    (profile,) = (each for each in policy.access_profiles if each.name.text == name)
    users_of = engine.directory.users_of
    if test.src is not None and (policy.acls is not None or policy.grants is not None):
        asking = users_of(parse_selector(test.src.text).text)
        may_ask = {user for word in profile.src for user in users_of(parse_selector(word.text).text)}
        if asking and asking <= may_ask:
            acls, grants = profile_rules(profile, (test.src,), policy.host_addresses())
            policy = replace(
                policy, acls=(*(policy.acls or ()), *acls), grants=(*(policy.grants or ()), *grants)
            )
        elif test.accept:
            yield _failure(test.src.span, f"{where}: `{test.src.text.strip()}` may not ask for `{name}`")
            return
    opened = type(engine)(policy, engine.facts, engine.nodes.by_index.values())
    yield from _run_test(_with_attributes(opened, test), test, where)


def run_tests(engine: Engine) -> list[Problem]:
    """Run all three sections; every assertion that does not hold is one problem."""
    if engine.policy is None:
        return []
    out: list[Problem] = []
    for number, test in enumerate(engine.policy.tests):
        out.extend(_run_test(_with_attributes(engine, test), test, f"tests[{number}]"))
    for number, entry in enumerate(engine.policy.access_tests):
        out.extend(_run_access_test(engine, engine.policy, entry, f"access.tests[{number}]"))
    for number, ssh_test in enumerate(engine.policy.ssh_tests):
        out.extend(_run_ssh_test(_with_attributes(engine, ssh_test), ssh_test, f"sshTests[{number}]"))
    return out
