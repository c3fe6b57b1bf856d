"""The command line before typer sees it: global options anywhere, and the aliases people are used to."""

from __future__ import annotations

from coordinator.cli.output import CONTEXT, FORMATS, CommandError

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
_WITH_VALUE = {"-c": "config", "--config": "config", "-o": "output", "--output": "output"}


def prepare(arguments: list[str]) -> list[str]:
    """Take the global options out, wherever they stand, and spell group and verb out.

    Raises:
        CommandError: a global option without its value, or an unknown output format.
    """
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        name, equals, value = argument.partition("=")
        if argument == "--":
            rest += arguments[position:]
            break
        if name in _WITH_VALUE and (equals or argument == name):
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
    if rest:
        rest[0] = _GROUPS.get(rest[0], rest[0])
        if len(rest) > 1:
            rest[1] = _VERBS.get(rest[0], {}).get(rest[1], rest[1])
    allowed = (*FORMATS, "github") if rest[:2] == ["policy", "check"] else FORMATS
    if CONTEXT.output and CONTEXT.output not in allowed:
        wrong, CONTEXT.output = CONTEXT.output, ""
        raise CommandError(f"unknown output format `{wrong}`: use {', '.join(allowed)}")
    return rest
