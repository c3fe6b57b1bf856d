"""The policy as written: one frozen value per entry, each string with its place in the text.

Here: the shape of a policy document. Not here: reading one (`reading`), checking one (`validate`), or what
it means (`compile`). Called by every later step. Absent and empty differ where the service tells them
apart: then the field may be None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from acl.problems import Problem, Span

__all__ = [
    "AccessProfile",
    "Acl",
    "AppCapability",
    "AttributeDeclaration",
    "AutoApprovers",
    "Grant",
    "NamedList",
    "NodeAttribute",
    "Policy",
    "PolicyTest",
    "SshEntry",
    "SshTest",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Word:
    """A string of the policy and where it stands."""

    text: str
    span: Span


Words = tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedList:
    """A name with its list: a group and its members, a tag and its owners, a route and its approvers."""

    name: Word
    items: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Acl:
    """One entry of `acls`."""

    action: Word | None
    src: Words
    dst: Words
    proto: Word | None
    src_posture: Words
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCapability:
    """One capability of an `app` object; `values` are JSON texts in order, None for null."""

    name: Word
    values: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One entry of `grants`."""

    src: Words
    dst: Words
    ip: Words
    app: tuple[AppCapability, ...]
    via: Words
    src_posture: Words
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SshEntry:
    """One entry of `ssh`; `users` is None when missing or null."""

    action: Word | None
    src: Words
    dst: Words
    users: Words | None
    check_period: Word | None
    accept_env: Words
    recorder: Words
    enforce_recorder: bool
    src_posture: Words
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttribute:
    """One entry of `nodeAttrs`."""

    target: Words
    attr: Words
    ip_pool: Words
    app: tuple[AppCapability, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoApprovers:
    """The `autoApprovers` section."""

    routes: tuple[NamedList, ...] = ()
    exit_node: Words = ()
    services: tuple[NamedList, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """One entry of `tests`."""

    src: Word | None
    proto: Word | None
    accept: Words
    deny: Words
    posture_attributes: tuple[tuple[str, str | int | float | bool], ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTest:
    """One entry of `access.tests`: a test that holds while its source has a window of the profile open."""

    profile: Word | None
    test: PolicyTest


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTest:
    """One entry of `sshTests`."""

    src: Word | None
    dst: Words
    accept: Words
    check: Words
    deny: Words
    posture_attributes: tuple[tuple[str, str | int | float | bool], ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeDeclaration:
    """One entry of `attrConfig`: a custom posture attribute."""

    name: Word
    type: str
    allow_set_by_node: bool
    broadcast_to_peers: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessProfile:
    """One entry of `access.profiles`; texts that are missing are empty, numbers None.

    Attributes:
        src: who may ask.
        dst: what is opened, as in an ACL.
        ssh_users: logins that are opened on the destinations.
        approvers: who may approve; never the one who asked.
        unanswered: how long a request waits for an answer.
        mint: tags of a machine that may be let in for a window, from outside of the tailnet; None: none may.
    """

    name: Word
    src: Words
    dst: Words
    proto: Word | None
    ssh_users: Words
    via: Words
    default_duration: Word | None
    max_duration: Word | None
    approvers: Words
    approvals: int | None
    reason: Word | None
    ticket: Word | None
    src_posture: Words
    hours: Word | None
    max_active: int | None
    break_glass: Words
    unanswered: Word | None
    mint: Words | None = None
    span: Span

    @property
    def declared(self) -> bool:
        """Whether it stands in a declaration beside the policy."""
        return bool(self.span.document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy document that passed `parse_policy`.

    Attributes:
        acls, grants: None when the key is absent; both absent means the default policy, allow all.
        derp_map: the `derpMap` section as plain JSON values, None when absent.
        warnings: findings that do not keep the policy from being used.
        text: the policy as it was given, comments included.
    """

    groups: tuple[NamedList, ...] = ()
    hosts: tuple[tuple[Word, Word], ...] = ()
    tag_owners: tuple[NamedList, ...] = ()
    ipsets: tuple[NamedList, ...] = ()
    postures: tuple[NamedList, ...] = ()
    default_src_posture: Words = ()
    acls: tuple[Acl, ...] | None = None
    grants: tuple[Grant, ...] | None = None
    auto_approvers: AutoApprovers = field(default_factory=AutoApprovers)
    node_attributes: tuple[NodeAttribute, ...] = ()
    ssh: tuple[SshEntry, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    ssh_tests: tuple[SshTest, ...] = ()
    derp_map: object = None
    disable_ipv4: bool = False
    randomize_client_port: bool = False
    one_cgnat_route: str = ""
    attribute_declarations: tuple[AttributeDeclaration, ...] = ()
    access_profiles: tuple[AccessProfile, ...] = ()
    access_tests: tuple[AccessTest, ...] = ()
    warnings: tuple[Problem, ...] = ()
    text: str = ""

    def group_members(self) -> dict[str, tuple[str, ...]]:
        return {group.name.text: tuple(m.text.strip() for m in group.items) for group in self.groups}

    def host_addresses(self) -> dict[str, str]:
        return {name.text: target.text.strip() for name, target in self.hosts}

    def tags(self) -> frozenset[str]:
        """The declared tags."""
        return frozenset(entry.name.text for entry in self.tag_owners)
