"""`policy`: who may reach whom; kept in git or in the database, checked and reviewed before it counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coordinator.cli import output
from coordinator.cli.client import call
from coordinator.cli.policy_problems import parse, read, report

if TYPE_CHECKING:
    from acl import AccessProfile, Span
    from coordinator.cli.policy_facts import Tailnet

app = typer.Typer(no_args_is_help=True, help="Who may reach whom.")

OPENS = 3
"""Exit code of `policy diff` when the new policy opens anything; 0: it does not, 1: an error."""

File = Annotated[Path | None, typer.Option("-f", "--file", help="The HuJSON file.")]
Nodes = Annotated[Path | None, typer.Option("--nodes", help="A snapshot of users and nodes.")]
Server = Annotated[bool, typer.Option("--server", help="Take users and nodes from the running server.")]
Profiles = Annotated[
    Path | None,
    typer.Option("--profiles", help="A file for `wireguard apply`: count its access profiles in."),
]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the history.")]


@app.command("get")
def get() -> None:
    """Print the policy in force."""
    print(call("GET", "/api/v1/policy")["policy"], end="")


@app.command("export")
def export(
    file: Annotated[
        Path | None, typer.Argument(help="A policy file; without one, the policy in force.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="A section to leave out, such as access.")
    ] = None,
    profiles: Profiles = None,
) -> None:
    """Print a policy without some of its sections, fit for other servers; comments are kept."""
    from acl.sections import without_section

    text = read(file) if file is not None else call("GET", "/api/v1/policy")["policy"]
    parse(file, text, _declared(profiles, server=file is None))
    for section in without or ():
        text = without_section(text, section)
    print(text, end="")


@app.command("set")
def set_policy(
    file: File = None,
    note: Note = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it against the server.")] = False,
) -> None:
    """Store a policy and put it in force (database mode)."""
    text = read(file)
    parse(file, text, _declared(None, server=True))
    if dry_run:
        output.emit(
            call("POST", "/api/v1/policy/check", {"policy": text}), "Policy is valid; nothing was changed."
        )
        return
    output.emit(call("PUT", "/api/v1/policy", {"policy": text, "note": note}), "Policy updated.")


@app.command("history")
def history() -> None:
    """List the stored versions, newest first (database mode)."""
    versions = call("GET", "/api/v1/policy/history")["versions"]
    rows = [
        [each["id"], output.moment(each["createdAt"]), each["author"], each["note"] or "-"]
        for each in versions
    ]
    output.emit(versions, output.table(["Version", "Created", "By", "Why"], rows))


@app.command("rollback")
def rollback(version: int, note: Note = "") -> None:
    """Put a former version in force again, as a new one (database mode)."""
    result = call("POST", "/api/v1/policy/rollback", {"id": version, "note": note})
    output.emit(result, f"Version {version} is in force again.")


@app.command("check")
def check(
    positional: Annotated[Path | None, typer.Argument(metavar="FILE")] = None,
    file: File = None,
    profiles: Profiles = None,
) -> None:
    """Check a policy without a server: all problems, with their places. Also `-o github`."""
    path = file or positional
    parse(path, read(path), _declared(profiles))
    output.emit({"valid": True, "problems": []}, "Policy is valid")


@app.command("fmt")
def fmt(
    files: list[Path],
    check_only: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a file would.")
    ] = False,
) -> None:
    """Rewrite policies in canonical HuJSON; comments are kept."""
    from acl import PolicyError
    from acl.formatting import format_policy

    untidy = []
    for file in files:
        text = read(file)
        try:
            formatted = format_policy(text)
        except PolicyError as error:
            report(file, text, error.problems)
        if formatted != text:
            untidy.append(str(file))
            if not check_only:
                file.write_text(formatted, encoding="utf-8")
    verb = "would be reformatted" if check_only else "reformatted"
    output.emit({"files": untidy}, "\n".join(f"{name}: {verb}" for name in untidy) or "Nothing to do.")
    if untidy and check_only:
        raise typer.Exit(1)


@app.command("test")
def test(file: Path, nodes: Nodes = None, server: Server = False, profiles: Profiles = None) -> None:
    """Run the policy's own `tests`, `sshTests` and `access.tests` against users and nodes."""
    from acl import PolicyIndex
    from coordinator.cli.policy_facts import load_tailnet

    text = read(file)
    tailnet = load_tailnet(nodes, server=server)
    policy = parse(file, text, _declared(profiles, tailnet))
    problems = PolicyIndex(policy, tailnet.facts, tailnet.nodes).check()
    if problems:
        report(file, text, problems)
    count = len(policy.tests) + len(policy.ssh_tests) + len(policy.access_tests)
    output.emit({"valid": True, "tests": count}, f"{count} test(s) passed")


@app.command("explain")
def explain_access(
    source: str,
    destination: str,
    file: File = None,
    nodes: Nodes = None,
    profiles: Profiles = None,
) -> None:
    """Say whether SRC may reach DST, DST:PORT or DST:PORT/PROTO, and by which rule; of the server or FILE."""
    from dataclasses import replace

    from acl import PolicyIndex, explain
    from acl.ports import PortError
    from coordinator.cli.policy_facts import load_tailnet, open_windows

    text = read(file) if file else call("GET", "/api/v1/policy")["policy"]
    tailnet = load_tailnet(nodes, server=nodes is None)
    policy = parse(file or Path("policy"), text, _declared(profiles, tailnet))
    target, port, protocol = _destination(destination)
    peer = tailnet.outside.get(source.removeprefix("wg:")) if source.startswith("wg:") else None
    if peer is not None:
        # Its gateway knows its profile, and neither rules nor machines.
        index = PolicyIndex(replace(policy, acls=(), grants=()), peer, [])
    else:
        index = PolicyIndex(policy, tailnet.facts, tailnet.nodes)
    if peer is None and file is None and nodes is None:
        index.set_windows(open_windows(tailnet))
    try:
        answer = explain(index, source, target, port, protocol)
    except PortError as error:
        output.fail(str(error))
    value = {
        "allowed": answer.allowed,
        "rule": answer.rule,
        "file": str(file) if file else "",
        "line": answer.span.line if answer.span and not answer.span.document else None,
        "source": answer.source,
        "destination": answer.destination,
        "reason": answer.reason,
        "profiles": [
            {
                "profile": hint.name,
                "line": None if hint.span.document else hint.span.line,
                "eligible": hint.eligible,
                "src": hint.src,
                "approvers": hint.approvers,
                "approvals": hint.approvals,
            }
            for hint in answer.profiles
        ],
    }
    where = str(file or "the policy in force")
    place = ""
    if answer.span:
        place = f"{', ' if answer.span.document else ' at '}{_place(where, answer.span)}"
    place += "".join(f"; {hint.sentence(_place(where, hint.span))}" for hint in answer.profiles)
    output.emit(value, f"{'' if answer.allowed else 'denied: '}{answer.reason}{place}")
    if not answer.allowed:
        raise typer.Exit(1)


@app.command("diff")
def diff(
    old: Path,
    new: Annotated[Path | None, typer.Argument(help="Left out: OLD is new, against the server.")] = None,
    nodes: Nodes = None,
    server: Server = False,
    profiles: Profiles = None,
) -> None:
    """Say who gains and who loses access to what. Exit code 3 when anything opens."""
    from acl import PolicyIndex
    from acl.access import access_changes
    from coordinator.cli.policy_facts import load_tailnet

    tailnet = load_tailnet(nodes, server=server or (new is None and nodes is None))
    declared = _declared(profiles, tailnet)
    if new is None:
        in_force = _declared(None, tailnet, server=nodes is not None)
        before = parse(Path("policy in force"), call("GET", "/api/v1/policy")["policy"], in_force)
        after = parse(old, read(old), declared)
    else:
        before, after = parse(old, read(old), declared), parse(new, read(new), declared)
    if not tailnet.nodes and not tailnet.facts.peers:
        asked = server or nodes is not None or new is None
        output.note(f"no nodes to compare for{'' if asked else ': give --nodes FILE or --server'}")
    changes = access_changes(
        PolicyIndex(before, tailnet.facts, tailnet.nodes),
        PolicyIndex(after, tailnet.facts, tailnet.nodes),
        tailnet.nodes,
        tailnet.facts.users,
        tailnet.advertised,
    )
    value: list[dict[str, Any]] = [
        {"opens": each.opens, "source": each.source, "destination": each.destination, "what": each.what}
        for each in changes
    ]
    output.emit(value, "\n".join(map(str, changes)) or "No difference in access.")
    if any(change.opens for change in changes):
        raise typer.Exit(OPENS)


@app.command("snapshot")
def snapshot() -> None:
    """Print users and nodes of the running server, for `--nodes`; it holds no keys."""
    import json

    from coordinator.cli.policy_facts import server_snapshot

    print(json.dumps(server_snapshot(), indent=2))


def _declared(
    path: Path | None, tailnet: Tailnet | None = None, *, server: bool = False
) -> Sequence[AccessProfile]:
    """The profiles that count besides the policy's: of a declaration, or those declared on the server."""
    from coordinator.cli.policy_facts import declared_in, server_declared

    if path is not None:
        return declared_in(path)
    if server:
        return server_declared()
    return () if tailnet is None else tailnet.declared


def _place(policy: str, span: Span) -> str:
    return "declared with `wireguard apply`" if span.document else f"{policy}:{span.line}"


def _destination(text: str) -> tuple[str, int, str]:
    """`host`, `host:22` or `host:22/tcp`; IPv6 addresses with a port stand in brackets."""
    host, slash, protocol = text.partition("/")
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        named = host.startswith(("tag:", "group:", "autogroup:", "ipset:", "svc:", "wg:", "user:"))
        # With more colons it is an IPv6 address.
        name, _, port = host.rpartition(":") if host.count(":") == 1 + named else (host, "", "")
    if port and (not port.isdecimal() or int(port) > 65535):
        output.fail(f"`{text}` is not DST[:PORT[/PROTO]]")
    return name, int(port) if port else 0, protocol if slash else ""
