"""Running commands: output, failures, time limits."""

import os
import time

import pytest

from coordinator.gateway import commands
from coordinator.gateway.commands import CommandError, missing_commands, run, run_detached
from tests.coordinator.gateway.builders import key


async def test_input_and_output() -> None:
    assert await run(("cat",), "hello") == "hello"
    assert await run(("cat",)) == ""


async def test_a_failure_says_which_and_why_without_keys() -> None:
    script = f"echo 'bad {key(7)}' >&2; echo more >&2; echo third >&2; exit 3"
    with pytest.raises(CommandError) as caught:
        await run(("sh", "-c", script), "secret")
    text = str(caught.value)
    assert "bad KEY; more" in text
    assert "third" not in text.partition("failed")[2]
    assert key(7) not in text
    assert "secret" not in text
    with pytest.raises(CommandError, match="it gave no reason"):
        await run(("false",))


async def test_a_command_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="cannot be run"):
        await run(("no-such-command-here",))
    with pytest.raises(CommandError, match="cannot be run"):
        await run_detached(("no-such-command-here",))
    monkeypatch.setattr(commands, "_PATH", "/nonexistent")
    assert [line.split()[0] for line in missing_commands()] == ["`wg`", "`ip`", "`nft`"]


async def test_a_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_TIMEOUT_S", 0.1)
    started = time.monotonic()
    for call in (run, run_detached):
        with pytest.raises(CommandError, match="did not"):
            await call(("sleep", "5"))
    assert time.monotonic() - started < 3


async def test_detached() -> None:
    await run_detached(("true",))
    with pytest.raises(CommandError, match="exit code 1"):
        await run_detached(("false",))


async def test_secrets_of_ours_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COORDINATOR_SECRET", "x")
    assert "COORDINATOR_SECRET" not in await run(("env",))
