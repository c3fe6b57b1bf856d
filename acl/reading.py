"""From located JSON values to a `Policy`: key names, types, and nothing about meaning.

Here: the table of sections and keys, the type checks, and the wording of type errors. Not here: HuJSON itself
(`hujson`), and checks that look at what a string says (`validate`). Called by `acl.parse_policy`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from acl.document import (
    AccessProfile,
    AccessTest,
    Acl,
    AppCapability,
    AttributeDeclaration,
    AutoApprovers,
    Grant,
    NamedList,
    NodeAttribute,
    Policy,
    PolicyTest,
    SshEntry,
    SshTest,
    Word,
    Words,
)
from acl.hujson import Member, Value
from acl.problems import Problem, nearest
from acl.relays import check_relays

__all__ = ["read_policy", "read_profile"]

T = TypeVar("T")

SECTIONS = (
    "groups", "hosts", "tagOwners", "ipsets", "postures", "defaultSrcPosture", "acls", "grants",
    "autoApprovers", "nodeAttrs", "ssh", "tests", "sshTests", "derpMap",
    "disableIPv4", "randomizeClientPort", "OneCGNATRoute",
    "attrConfig", "access",
)  # fmt: skip
ACL_KEYS = ("action", "src", "dst", "proto", "srcPosture", "users", "ports")
GRANT_KEYS = ("src", "dst", "ip", "app", "via", "srcPosture")
SSH_KEYS = (
    "action", "src", "dst", "users", "checkPeriod", "acceptEnv", "recorder", "enforceRecorder", "srcPosture",
)  # fmt: skip
ACCESS_KEYS = ("profiles", "tests")
PROFILE_KEYS = (
    "src", "dst", "proto", "ssh", "via", "defaultDuration", "maxDuration", "approvers", "approvals", "reason",
    "ticket", "srcPosture", "hours", "maxActive", "breakGlass", "unanswered", "mint",
)  # fmt: skip
PROFILE_SSH_KEYS = ("users",)
MINT_KEYS = ("tags",)
NODE_ATTRIBUTE_KEYS = ("target", "attr", "ipPool", "app")
AUTO_APPROVER_KEYS = ("routes", "exitNode", "services")
TEST_KEYS = ("src", "proto", "accept", "deny", "srcPostureAttrs", "user", "allow")
SSH_TEST_KEYS = ("src", "dst", "accept", "check", "deny", "srcPostureAttrs")
ATTRIBUTE_KEYS = ("type", "allowSetByNode", "broadcastToPeers")


class _Reader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, where: str, expected: str, value: Value) -> None:
        message = f"{where}: expected {expected}, found {value.kind}"
        self.problems.append(Problem(code="wrong-type", message=message, span=value.span))

    def fields(
        self, value: Value, where: str, keys: tuple[str, ...], *, skip_hash: bool = False
    ) -> dict[str, Value]:
        """The members of an object by their canonical name; keys match without regard to case."""
        if not value.is_object:
            self.wrong(where, "an object", value)
            return {}
        known = {key.lower(): key for key in keys}
        out: dict[str, Value] = {}
        for member in value.members():
            if skip_hash and member.key.startswith("#"):
                continue
            key = known.get(member.key.lower())
            if key is None:
                hint = nearest(member.key, keys)
                message = f"{where}: unknown key `{member.key}`"
                self.problems.append(
                    Problem(code="unknown-key", message=message, span=member.key_span, help=hint)
                )
            elif key in out:
                message = f"{where}: `{member.key}` is written twice in one object"
                self.problems.append(Problem(code="duplicate-key", message=message, span=member.key_span))
            else:
                out[key] = member.value
        return out

    def word(self, value: Value | None, where: str) -> Word | None:
        if value is None or value.data is None:
            return None
        if not isinstance(value.data, str):
            self.wrong(where, "a string", value)
            return None
        return Word(value.data, value.span)

    def words_or_none(self, value: Value | None, where: str) -> Words | None:
        if value is None or value.data is None:
            return None
        if value.is_object or not isinstance(value.data, tuple):
            self.wrong(where, "a list of strings", value)
            return ()
        out = []
        for item in value.items():
            if isinstance(item.data, str):
                out.append(Word(item.data, item.span))
            else:
                self.wrong(where, "a string", item)
        return tuple(out)

    def words(self, value: Value | None, where: str) -> Words:
        return self.words_or_none(value, where) or ()

    def flag(self, value: Value | None, where: str) -> bool:
        if value is None or value.data is None:
            return False
        if not isinstance(value.data, bool):
            self.wrong(where, "true or false", value)
            return False
        return value.data

    def number(self, value: Value | None, where: str) -> int | None:
        if value is None or value.data is None:
            return None
        if isinstance(value.data, bool) or not isinstance(value.data, int):
            self.wrong(where, "a whole number", value)
            return None
        return value.data

    def members(self, value: Value | None, where: str) -> tuple[Member, ...]:
        if value is None or value.data is None:
            return ()
        if not value.is_object:
            self.wrong(where, "an object", value)
            return ()
        return value.members()

    def named(self, value: Value | None, where: str) -> tuple[NamedList, ...]:
        return tuple(
            NamedList(
                name=Word(m.key, m.key_span), items=self.words(m.value, f"{where}[{json.dumps(m.key)}]")
            )
            for m in self.members(value, where)
        )

    def entries(
        self, value: Value | None, where: str, read: Callable[[Value, str], T | None]
    ) -> tuple[T, ...] | None:
        """A list of objects, each through `read`; None when the key is absent.

        A null section counts as an empty list, not as absent: for rules, absence means "allow all", and that
        should not follow from a value somebody left out.
        """
        if value is None:
            return None
        if value.data is None:
            return ()
        if value.is_object or not isinstance(value.data, tuple):
            self.wrong(where, "a list", value)
            return ()
        out = []
        for number, item in enumerate(value.items()):
            entry = read(item, f"{where}[{number}]")
            if entry is not None:
                out.append(entry)
        return tuple(out)

    def app(self, value: Value | None, where: str) -> tuple[AppCapability, ...]:
        out = []
        for member in self.members(value, where):
            name = Word(member.key, member.key_span)
            values: tuple[str, ...] | None = None
            if member.value.data is not None:
                if member.value.is_object or not isinstance(member.value.data, tuple):
                    self.wrong(f"{where}[{json.dumps(member.key)}]", "a list", member.value)
                    continue
                values = tuple(
                    json.dumps(item.plain(), ensure_ascii=False, separators=(",", ":"))
                    for item in member.value.items()
                )
            out.append(AppCapability(name=name, values=values))
        return tuple(out)

    def posture_attributes(
        self, value: Value | None, where: str
    ) -> tuple[tuple[str, str | int | float | bool], ...]:
        out = []
        for member in self.members(value, where):
            data = member.value.data
            if isinstance(data, str | int | float | bool):
                out.append((member.key, data))
            else:
                self.wrong(f"{where}[{json.dumps(member.key)}]", "a string, number or boolean", member.value)
        return tuple(out)

    def _either(self, found: Mapping[str, Value], name: str, old: str, where: str) -> Value | None:
        """A field under its name or its old spelling, not both."""
        if name in found and old in found:
            message = f"{where}: `{old}` is the old name of `{name}`, write only one of them"
            self.problems.append(Problem(code="duplicate-key", message=message, span=found[old].span))
        return found.get(name, found.get(old))

    def acl(self, value: Value, where: str) -> Acl | None:
        found = self.fields(value, where, ACL_KEYS, skip_hash=True)
        if value.is_object and not found and value.members():
            return None  # nothing but `#` keys: a commented-out entry
        return Acl(
            action=self.word(found.get("action"), f"{where}.action"),
            src=self.words(self._either(found, "src", "users", where), f"{where}.src"),
            dst=self.words(self._either(found, "dst", "ports", where), f"{where}.dst"),
            proto=self.word(found.get("proto"), f"{where}.proto"),
            src_posture=self.words(found.get("srcPosture"), f"{where}.srcPosture"),
            span=value.span,
        )

    def grant(self, value: Value, where: str) -> Grant:
        found = self.fields(value, where, GRANT_KEYS)
        return Grant(
            src=self.words(found.get("src"), f"{where}.src"),
            dst=self.words(found.get("dst"), f"{where}.dst"),
            ip=self.words(found.get("ip"), f"{where}.ip"),
            app=self.app(found.get("app"), f"{where}.app"),
            via=self.words(found.get("via"), f"{where}.via"),
            src_posture=self.words(found.get("srcPosture"), f"{where}.srcPosture"),
            span=value.span,
        )

    def ssh(self, value: Value, where: str) -> SshEntry:
        found = self.fields(value, where, SSH_KEYS)
        return SshEntry(
            action=self.word(found.get("action"), f"{where}.action"),
            src=self.words(found.get("src"), f"{where}.src"),
            dst=self.words(found.get("dst"), f"{where}.dst"),
            users=self.words_or_none(found.get("users"), f"{where}.users"),
            check_period=self.word(found.get("checkPeriod"), f"{where}.checkPeriod"),
            accept_env=self.words(found.get("acceptEnv"), f"{where}.acceptEnv"),
            recorder=self.words(found.get("recorder"), f"{where}.recorder"),
            enforce_recorder=self.flag(found.get("enforceRecorder"), f"{where}.enforceRecorder"),
            src_posture=self.words(found.get("srcPosture"), f"{where}.srcPosture"),
            span=value.span,
        )

    def node_attribute(self, value: Value, where: str) -> NodeAttribute:
        found = self.fields(value, where, NODE_ATTRIBUTE_KEYS)
        return NodeAttribute(
            target=self.words(found.get("target"), f"{where}.target"),
            attr=self.words(found.get("attr"), f"{where}.attr"),
            ip_pool=self.words(found.get("ipPool"), f"{where}.ipPool"),
            app=self.app(found.get("app"), f"{where}.app"),
            span=value.span,
        )

    def auto_approvers(self, value: Value | None) -> AutoApprovers:
        if value is None or value.data is None:
            return AutoApprovers()
        found = self.fields(value, "autoApprovers", AUTO_APPROVER_KEYS)
        return AutoApprovers(
            routes=self.named(found.get("routes"), "autoApprovers.routes"),
            exit_node=self.words(found.get("exitNode"), "autoApprovers.exitNode"),
            services=self.named(found.get("services"), "autoApprovers.services"),
        )

    def test(self, value: Value, where: str) -> PolicyTest:
        return self._test(self.fields(value, where, TEST_KEYS), value, where)

    def access_test(self, value: Value, where: str) -> AccessTest:
        found = self.fields(value, where, ("profile", *TEST_KEYS))
        profile = self.word(found.get("profile"), f"{where}.profile")
        return AccessTest(profile=profile, test=self._test(found, value, where))

    def _test(self, found: dict[str, Value], value: Value, where: str) -> PolicyTest:
        return PolicyTest(
            src=self.word(self._either(found, "src", "user", where), f"{where}.src"),
            proto=self.word(found.get("proto"), f"{where}.proto"),
            accept=self.words(self._either(found, "accept", "allow", where), f"{where}.accept"),
            deny=self.words(found.get("deny"), f"{where}.deny"),
            posture_attributes=self.posture_attributes(
                found.get("srcPostureAttrs"), f"{where}.srcPostureAttrs"
            ),
            span=value.span,
        )

    def ssh_test(self, value: Value, where: str) -> SshTest:
        found = self.fields(value, where, SSH_TEST_KEYS)
        return SshTest(
            src=self.word(found.get("src"), f"{where}.src"),
            dst=self.words(found.get("dst"), f"{where}.dst"),
            accept=self.words(found.get("accept"), f"{where}.accept"),
            check=self.words(found.get("check"), f"{where}.check"),
            deny=self.words(found.get("deny"), f"{where}.deny"),
            posture_attributes=self.posture_attributes(
                found.get("srcPostureAttrs"), f"{where}.srcPostureAttrs"
            ),
            span=value.span,
        )

    def hosts(self, value: Value | None) -> tuple[tuple[Word, Word], ...]:
        out = []
        for member in self.members(value, "hosts"):
            target = self.word(member.value, f"hosts[{json.dumps(member.key)}]")
            if target is not None:
                out.append((Word(member.key, member.key_span), target))
            elif member.value.data is None:
                self.wrong(f"hosts[{json.dumps(member.key)}]", "an address or prefix", member.value)
        return tuple(out)

    def attribute_declarations(self, value: Value | None) -> tuple[AttributeDeclaration, ...]:
        out = []
        for member in self.members(value, "attrConfig"):
            where = f"attrConfig[{json.dumps(member.key)}]"
            found = self.fields(member.value, where, ATTRIBUTE_KEYS)
            kind = self.word(found.get("type"), f"{where}.type")
            out.append(
                AttributeDeclaration(
                    name=Word(member.key, member.key_span),
                    type="" if kind is None else kind.text,
                    allow_set_by_node=self.flag(found.get("allowSetByNode"), f"{where}.allowSetByNode"),
                    broadcast_to_peers=self.words(found.get("broadcastToPeers"), f"{where}.broadcastToPeers"),
                )
            )
        return tuple(out)

    def access(self, value: Value | None) -> tuple[tuple[AccessProfile, ...], tuple[AccessTest, ...]]:
        if value is None or value.data is None:
            return (), ()
        found = self.fields(value, "access", ACCESS_KEYS)
        profiles = self.members(found.get("profiles"), "access.profiles")
        tests = self.entries(found.get("tests"), "access.tests", self.access_test) or ()
        return tuple(self.profile(member) for member in profiles), tests

    def profile(self, member: Member) -> AccessProfile:
        where = f"access.profiles[{json.dumps(member.key)}]"
        found = self.fields(member.value, where, PROFILE_KEYS)
        ssh = found.get("ssh")
        mint = found.get("mint")
        minted = {} if mint is None else self.fields(mint, f"{where}.mint", MINT_KEYS)
        login = {} if ssh is None else self.fields(ssh, f"{where}.ssh", PROFILE_SSH_KEYS)

        def words(key: str) -> Words:
            return self.words(found.get(key), f"{where}.{key}")

        def word(key: str) -> Word | None:
            return self.word(found.get(key), f"{where}.{key}")

        return AccessProfile(
            name=Word(member.key, member.key_span),
            src=words("src"),
            dst=words("dst"),
            proto=word("proto"),
            ssh_users=self.words(login.get("users"), f"{where}.ssh.users"),
            via=words("via"),
            default_duration=word("defaultDuration"),
            max_duration=word("maxDuration"),
            approvers=words("approvers"),
            approvals=self.number(found.get("approvals"), f"{where}.approvals"),
            reason=word("reason"),
            ticket=word("ticket"),
            src_posture=words("srcPosture"),
            hours=word("hours"),
            max_active=self.number(found.get("maxActive"), f"{where}.maxActive"),
            break_glass=words("breakGlass"),
            unanswered=word("unanswered"),
            mint=None if mint is None else self.words(minted.get("tags"), f"{where}.mint.tags"),
            span=member.key_span,
        )

    def policy(self, value: Value, text: str) -> Policy:
        found = self.fields(value, "policy", SECTIONS)
        one_cgnat = self.word(found.get("OneCGNATRoute"), "OneCGNATRoute")
        profiles, access_tests = self.access(found.get("access"))
        derp_map = found.get("derpMap")
        if derp_map is not None and derp_map.data is not None and not derp_map.is_object:
            self.wrong("derpMap", "an object", derp_map)
        elif derp_map is not None:
            self.problems.extend(check_relays(derp_map))
        return Policy(
            groups=self.named(found.get("groups"), "groups"),
            hosts=self.hosts(found.get("hosts")),
            tag_owners=self.named(found.get("tagOwners"), "tagOwners"),
            ipsets=self.named(found.get("ipsets"), "ipsets"),
            postures=self.named(found.get("postures"), "postures"),
            default_src_posture=self.words(found.get("defaultSrcPosture"), "defaultSrcPosture"),
            acls=self.entries(found.get("acls"), "acls", self.acl),
            grants=self.entries(found.get("grants"), "grants", self.grant),
            auto_approvers=self.auto_approvers(found.get("autoApprovers")),
            node_attributes=self.entries(found.get("nodeAttrs"), "nodeAttrs", self.node_attribute) or (),
            ssh=self.entries(found.get("ssh"), "ssh", self.ssh) or (),
            tests=self.entries(found.get("tests"), "tests", self.test) or (),
            ssh_tests=self.entries(found.get("sshTests"), "sshTests", self.ssh_test) or (),
            derp_map=None if derp_map is None else derp_map.plain(),
            disable_ipv4=self.flag(found.get("disableIPv4"), "disableIPv4"),
            randomize_client_port=self.flag(found.get("randomizeClientPort"), "randomizeClientPort"),
            one_cgnat_route="" if one_cgnat is None else one_cgnat.text,
            attribute_declarations=self.attribute_declarations(found.get("attrConfig")),
            access_profiles=profiles,
            access_tests=access_tests,
            text=text,
        )


def read_policy(value: Value, text: str) -> tuple[Policy, list[Problem]]:
    """Read the root value of a policy file.

    Returns:
        The policy as far as it could be read, and every wrong type and unknown key found on the way. With any
        problem the policy must not be used, only checked further.
    """
    reader = _Reader()
    policy = reader.policy(value, text)
    return policy, reader.problems


def read_profile(member: Member) -> tuple[AccessProfile, list[Problem]]:
    """Read one access profile, as a member of `access.profiles`; the same as `read_policy` otherwise."""
    reader = _Reader()
    profile = reader.profile(member)
    return profile, reader.problems
