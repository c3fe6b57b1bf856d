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
        (["help", "users"], ["users", "--help"]),
        (["help"], ["--help"]),
        (["-n", "ci", "nodes", "ls"], ["nodes", "list", "--user", "ci"]),
        (["--namespace=ci", "pre", "ls"], ["preauthkeys", "list", "--user=ci"]),
        (["nodes", "register", "--namespace", "ci"], ["nodes", "register", "--user", "ci"]),
        (["users", "list", "-n", "ci"], ["users", "list", "-n", "ci"]),
        ([], []),
    ],
)
def test_aliases(given: list[str], meant: list[str]) -> None:
    assert prepare(given) == meant


def test_values_may_follow_at_once() -> None:
    assert prepare(["-ojson", "-cfile.yaml", "nodes", "list", "-c=other.yaml"]) == ["nodes", "list"]
    assert (CONTEXT.output, CONTEXT.config) == ("json", "other.yaml")


def test_what_follows_two_dashes_is_left_alone() -> None:
    assert prepare(["users", "create", "--", "-ojson"]) == ["users", "create", "--", "-ojson"]


def test_old_words_are_answered_with_those_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    prepare(["-n", "ci", "machines", "list"])
    assert capsys.readouterr().err == "`machines` is called `nodes` now\n`-n` is called `--user` now\n"
    prepare(["namespaces", "list", "-o", "json"])
    assert capsys.readouterr().err == ""


def test_mistakes() -> None:
    with pytest.raises(CommandError, match="needs a value"):
        prepare(["nodes", "-c"])
    with pytest.raises(CommandError, match="json-line"):
        prepare(["nodes", "-o", "toml"])
