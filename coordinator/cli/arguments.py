"""The command line before typer sees it: global options anywhere, and the words people are used to.

What older releases called differently works, with one line on stderr that says the word of today.
"""

from __future__ import annotations

from coordinator.cli.output import CONTEXT, FORMATS, CommandError, note

_GROUPS = {
    "user": "users",
    "namespaces": "users",
    "namespace": "users",
    "ns": "users",
    "node": "nodes",
    "machines": "nodes",
    "machine": "nodes",
    "preauthkey": "preauthkeys",
    "authkey": "preauthkeys",
    "pre": "preauthkeys",
    "gen": "generate",
}
_OUTDATED = {"namespaces", "namespace", "ns", "machines", "machine"}
_VERBS = {
    "users": {
        "c": "create",
        "new": "create",
        "ls": "list",
        "show": "list",
        "delete": "destroy",
        "mv": "rename",
    },
    "nodes": {
        "ls": "list",
        "show": "list",
        "del": "delete",
        "logout": "expire",
        "exp": "expire",
        "e": "expire",
        "tags": "tag",
        "t": "tag",
        "lsr": "list-routes",
        "routes": "list-routes",
        "mv": "move",
    },
    "preauthkeys": {
        "c": "create",
        "new": "create",
        "ls": "list",
        "show": "list",
        "revoke": "expire",
        "exp": "expire",
        "e": "expire",
        "del": "delete",
        "rm": "delete",
        "d": "delete",
    },
    "policy": {"show": "get", "view": "get", "fetch": "get", "put": "set", "update": "set"},
}
_WITH_VALUE = {
    "-c": "config",
    "--config": "config",
    "-o": "output",
    "--output": "output",
    "--audit-reason": "reason",
}
_NAMESPACE = ("-n", "--namespace")


def prepare(arguments: list[str]) -> list[str]:
    """Take the global options out, wherever they stand, and spell group and verb out.

    Raises:
        CommandError: a global option without its value, or an unknown output format.
    """
    rest = _take_global_options(arguments)
    remarks: list[str] = []
    if rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    if rest and rest[0].partition("=")[0] in _NAMESPACE:
        rest = _namespace_last(rest)
    if rest:
        group = _GROUPS.get(rest[0], rest[0])
        if rest[0] in _OUTDATED:
            remarks.append(f"`{rest[0]}` is called `{group}` now")
        rest[0] = group
        if group in ("nodes", "preauthkeys"):
            rest = _namespaces_as_users(rest, remarks)
        if len(rest) > 1:
            rest[1] = _VERBS.get(group, {}).get(rest[1], rest[1])
    allowed = (*FORMATS, "github") if rest[:2] == ["policy", "check"] else FORMATS
    if CONTEXT.output and CONTEXT.output not in allowed:
        wrong, CONTEXT.output = CONTEXT.output, ""
        raise CommandError(f"unknown output format `{wrong}`: use {', '.join(allowed)}")
    for remark in remarks:
        note(remark)
    return rest


def _take_global_options(arguments: list[str]) -> list[str]:
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        name, equals, value = argument.partition("=")
        if argument == "--":
            rest += arguments[position:]
            break
        if argument[:2] in ("-c", "-o") and len(argument) > 2 and argument[2] != "=":
            # The value may follow at once: `-ojson`.
            name, equals, value = argument[:2], "=", argument[2:]
        if name in _WITH_VALUE:
            if not equals:
                position += 1
                if position >= len(arguments):
                    raise CommandError(f"{name} needs a value")
                value = arguments[position]
            setattr(CONTEXT, _WITH_VALUE[name], value)
        elif argument == "--force":
            CONTEXT.force = True
        else:
            rest.append(argument)
        position += 1
    return rest


def _namespace_last(rest: list[str]) -> list[str]:
    """`-n NAMESPACE nodes register …`: the option stood before the group once."""
    if "=" in rest[0]:
        return [*rest[1:], rest[0]]
    return [*rest[2:], *rest[:2]]


def _namespaces_as_users(rest: list[str], remarks: list[str]) -> list[str]:
    spelled: list[str] = []
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in _NAMESPACE:
            remarks.append(f"`{name}` is called `--user` now")
            argument = f"--user{equals}{value}"
        spelled.append(argument)
    return spelled
