"""Global options anywhere, aliases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator.cli.arguments import prepare
from coordinator.cli.output import CONTEXT, CommandError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    CONTEXT.config, CONTEXT.output, CONTEXT.force = None, "", False


def test_global_options_stand_anywhere() -> None:
    assert prepare(["nodes", "-c", "x", "list", "--output=json", "--force"]) == ["nodes", "list"]
    assert (CONTEXT.config, CONTEXT.output, CONTEXT.force) == ("x", "json", True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["machine", "ls"], ["nodes", "list"]),
        (["ns", "c", "x"], ["users", "create", "x"]),
        (["pre", "rm"], ["preauthkeys", "delete"]),
        (["node", "routes"], ["nodes", "list-routes"]),
        (["policy", "put"], ["policy", "set"]),
        (["gen", "private-key"], ["generate", "private-key"]),
        ([], []),
    ],
)
def test_aliases(given: list[str], meant: list[str]) -> None:
    assert prepare(given) == meant


def test_mistakes() -> None:
    with pytest.raises(CommandError, match="needs a value"):
        prepare(["nodes", "-c"])
    with pytest.raises(CommandError, match="json-line"):
        prepare(["nodes", "-o", "toml"])
